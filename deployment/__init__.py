"""Development only: packages the service and deploys it by CloudFormation, with boto3 alone. Nothing of it ships."""
