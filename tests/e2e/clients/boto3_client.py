"""Launches an instance, changes it over SSH, makes an image of it and launches that: boto3 and OpenSSH's client alone."""

import os
import subprocess

import boto3

ec2 = boto3.client("ec2")


def wait(state, **what):
    ec2.get_waiter(state).wait(**what, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def launch(image):
    answer = ec2.run_instances(ImageId=image, InstanceType="t3.micro", KeyName="by-boto3", MinCount=1, MaxCount=1)
    return answer["Instances"][0]["InstanceId"]


def on(instance, command):
    wait("instance_running", InstanceIds=[instance])
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    port = next((tag["Value"] for tag in found.get("Tags", []) if tag["Key"] == "bakelite:ssh-port"), "22")
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    flags = [flag for option in options for flag in ("-o", option)]
    target = f"admin@{found['PublicIpAddress']}"
    return subprocess.run(["ssh", "-i", "key.pem", "-p", port, *flags, target, command], check=True, capture_output=True, text=True).stdout


bases = ec2.describe_images(Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])["Images"]
base = max(bases, key=lambda image: image["CreationDate"])["ImageId"]
key = ec2.create_key_pair(KeyName="by-boto3", KeyType="ed25519")["KeyMaterial"]
with open(os.open("key.pem", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
    file.write(key)

first = launch(base)
on(first, "echo made by boto3 | sudo tee /opt/note")
ec2.stop_instances(InstanceIds=[first])
wait("instance_stopped", InstanceIds=[first])
made = ec2.create_image(InstanceId=first, Name="by-boto3")["ImageId"]
wait("image_available", ImageIds=[made])
second = launch(made)
note = on(second, "cat /opt/note")
ec2.terminate_instances(InstanceIds=[first, second])
wait("instance_terminated", InstanceIds=[first, second])
print(note, end="")
