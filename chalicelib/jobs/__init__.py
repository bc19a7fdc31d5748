"""The domain: jobs, batches, fetches and claims, and the rules about them. Pure: no AWS, no HTTP, no clock."""
