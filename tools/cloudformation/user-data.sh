#!/bin/bash
# Installs loadprobe, and tells CloudFormation whether `loadprobe check` passes.
set -euo pipefail
mkdir -p /var/log/loadprobe /etc/loadprobe
chmod 0700 /etc/loadprobe
exec >>/var/log/loadprobe/install.log 2>&1
tell() {
  /opt/aws/bin/cfn-signal --exit-code "$1" --reason "$(tail -n 3 /var/log/loadprobe/install.log)" \
    --stack '${AWS::StackId}' --resource Probe --region '${AWS::Region}'
}
trap 'tell $?' EXIT
export AWS_DEFAULT_REGION='${AWS::Region}'

dnf install -y -q aws-cfn-bootstrap amazon-cloudwatch-agent python3.11
aws s3 cp --only-show-errors 's3://${BundleBucket}/${BundleKey}' /opt/bundle.tar.gz
echo '${BundleDigest}  /opt/bundle.tar.gz' | sha256sum --check --strict -
rm -rf /opt/bundle && mkdir /opt/bundle && tar -xzf /opt/bundle.tar.gz -C /opt/bundle
python3.11 -m venv /opt/loadprobe
/opt/loadprobe/bin/pip install -q --no-index --find-links /opt/bundle \
  --require-hashes -r /opt/bundle/requirements.lock
/opt/loadprobe/bin/pip install -q --no-index --no-deps /opt/bundle/loadprobe-*.whl
install -m 0644 /opt/bundle/loadprobe.service /etc/systemd/system/loadprobe.service
mkdir -p /etc/systemd/system/loadprobe.service.d

cat >/etc/systemd/system/loadprobe.service.d/aws.conf <<'END'
[Service]
StandardOutput=append:/var/log/loadprobe/loadprobe.log
StandardError=append:/var/log/loadprobe/loadprobe.log
END
cat >/etc/loadprobe/loadprobe.toml <<'END'
name = "sidecar"

[target]

[control]
replication_group = "${ReplicationGroup}"
region = "${AWS::Region}"

[output]
dir = "/var/lib/loadprobe/runs"
resume = true
max_disk_ratio = 0.8

${Lanes}
END
chmod 0644 /etc/loadprobe/loadprobe.toml
if [ -n '${Secret}' ]; then
  (umask 0077 && aws secretsmanager get-secret-value --secret-id '${Secret}' \
    --query SecretString --output text >/etc/loadprobe/password)
  echo 'LoadCredential=password:/etc/loadprobe/password' \
    >>/etc/systemd/system/loadprobe.service.d/aws.conf
  sed -i '/^\[target\]/a password_file = "/run/credentials/loadprobe.service/password"' \
    /etc/loadprobe/loadprobe.toml
  if [ '${UserName}' != default ]; then
    sed -i '/^\[target\]/a username = "${UserName}"' /etc/loadprobe/loadprobe.toml
  fi
  export LOADPROBE_TARGET_PASSWORD_FILE=/etc/loadprobe/password
fi
cat >/etc/logrotate.d/loadprobe <<'END'
/var/log/loadprobe/loadprobe.log {
  weekly
  rotate 8
  compress
  copytruncate
  missingok
}
END
cat >/opt/aws/amazon-cloudwatch-agent/etc/loadprobe.json <<'END'
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/loadprobe/*.log", "log_group_name": "${LogGroup}",
   "log_stream_name": "{instance_id}", "timezone": "UTC"}
]}}}}
END
/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 \
  -s -c file:/opt/aws/amazon-cloudwatch-agent/etc/loadprobe.json

LOADPROBE_OUTPUT_DIR=$(mktemp -d) /opt/loadprobe/bin/loadprobe check /etc/loadprobe/loadprobe.toml
systemctl daemon-reload
systemctl enable --now loadprobe
