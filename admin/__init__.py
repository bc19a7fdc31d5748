"""The operator's command line for access control: tokens and quotas. Nothing of it ships to Lambda."""
