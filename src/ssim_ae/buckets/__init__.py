"""Data sets and results in an object store: `s3://bucket/key`, or `obs://bucket/key` for Huawei OBS.

Endpoint, credentials and region come from the sources of botocore: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and ~/.aws. For obs://, OBS_ENDPOINT, OBS_ACCESS_KEY_ID and
OBS_SECRET_ACCESS_KEY take precedence. On ModelArts, its own library moxing transfers the files.
"""

from ssim_ae.buckets.transfer import fetch, put
from ssim_ae.buckets.urls import cache_folder, is_url

__all__ = ["cache_folder", "fetch", "is_url", "put"]
