"""Development only: packages the service and deploys it by CloudFormation, with only boto3. None of it ships."""
