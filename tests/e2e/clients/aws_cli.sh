# Launches an instance, changes it over SSH, makes an image of it and launches that: AWS CLI and OpenSSH's client alone.
aws() { "$TOOLS/bin/aws" --output text "$@"; }

launch() { # image
  aws ec2 run-instances --image-id "$1" --instance-type t3.micro --key-name by-cli --query 'Instances[0].InstanceId'
}
on() { # instance, command…
  local instance=$1 address port
  shift
  aws ec2 wait instance-running --instance-ids "$instance"
  address=$(aws ec2 describe-instances --instance-ids "$instance" --query 'Reservations[0].Instances[0].PublicIpAddress')
  port=$(aws ec2 describe-instances --instance-ids "$instance" --query "Reservations[0].Instances[0].Tags[?Key=='bakelite:ssh-port'].Value")
  ssh -i key.pem -p "${port:-22}" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "admin@$address" "$@"
}

image=$(aws ec2 describe-images --owners 136693071363 --filters 'Name=name,Values=debian-12-amd64-*' --query 'Images[0].ImageId')
aws ec2 create-key-pair --key-name by-cli --query KeyMaterial > key.pem
chmod 600 key.pem
first=$(launch "$image")
on "$first" 'echo made by the AWS CLI | sudo tee /opt/note' > /dev/null
aws ec2 stop-instances --instance-ids "$first" > /dev/null
aws ec2 wait instance-stopped --instance-ids "$first"
made=$(aws ec2 create-image --instance-id "$first" --name by-cli --query ImageId)
aws ec2 wait image-available --image-ids "$made"
aws ec2 terminate-instances --instance-ids "$first" > /dev/null
second=$(launch "$made")
note=$(on "$second" cat /opt/note)
aws ec2 terminate-instances --instance-ids "$second" > /dev/null
aws ec2 wait instance-terminated --instance-ids "$first" "$second"
echo "$note"
