# Calls all services of the local cloud with the owner's key, with temporary ones and with others: AWS CLI alone.
aws() { "$TOOLS/bin/aws" --output text "$@"; }
refused() { # code, command…
  local code=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "not refused: $*"
    exit 1
  fi
  case $said in *"$code"*) ;; *) echo "not $code: $said"; exit 1 ;; esac
}

aws secretsmanager create-secret --name s --secret-string "a value with = & % + ü" > /dev/null
test "$(aws secretsmanager get-secret-value --secret-id s --query SecretString)" = "a value with = & % + ü"
aws ssm describe-instance-information > /dev/null
refused DryRunOperation aws ec2 create-tags --dry-run --resources i-0123456789abcdef0 --tags 'Key=a b/ü,Value=c+d&e=%'

read -r id secret token <<< "$(aws sts assume-role --role-arn arn:aws:iam::123456789012:role/r --role-session-name tests \
  --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]')"
AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token aws ec2 describe-instances > /dev/null
AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret refused AuthFailure aws ec2 describe-instances
read -r id secret token <<< "$(aws sts get-session-token --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]')"
AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token aws secretsmanager get-secret-value --secret-id s > /dev/null

export AWS_SECRET_ACCESS_KEY=wrong
refused AuthFailure aws ec2 describe-instances
refused SignatureDoesNotMatch aws sts get-caller-identity
refused InvalidSignatureException aws secretsmanager get-secret-value --secret-id s
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
refused AuthFailure aws ec2 describe-instances
refused InvalidClientTokenId aws sts get-caller-identity
refused UnrecognizedClientException aws ssm describe-sessions --state Active
echo "done"
