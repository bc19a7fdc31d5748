"""The operator's command line for access control: tokens and quotas. None of it ships to Lambda."""
