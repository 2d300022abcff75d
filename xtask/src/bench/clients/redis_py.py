"""A cleanup with redis-py: scan_iter, and pipelines of 1,000. Its arguments are the addresses of the nodes."""

import sys
from itertools import islice

import redis

PAGE = 1_000


def clean(node):
    keys = node.scan_iter(match="permissions:*", count=PAGE)
    while page := list(islice(keys, PAGE)):
        look = node.pipeline(transaction=False)
        for key in page:
            look.pttl(key)
        delete = node.pipeline(transaction=False)
        for key, ttl in zip(page, look.execute()):
            if ttl == -1:
                delete.unlink(key)
        delete.execute()


for url in sys.argv[1:]:
    clean(redis.Redis.from_url(url))
