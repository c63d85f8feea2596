"""Health check of LocalStack: it is ready, and every hook in init/ready.d has succeeded.

`/_localstack/health` says "available" before anything was loaded, and a hook that failed still counts as READY there.
"""

import json
import sys
import urllib.request

with urllib.request.urlopen("http://127.0.0.1:4566/_localstack/init", timeout=8) as answer:
    told = json.load(answer)
hooks = [script for script in told["scripts"] if script["stage"] == "READY"]
failed = [script["name"] for script in hooks if script["state"] != "SUCCESSFUL"]
if not told["completed"]["READY"] or not hooks or failed:
    sys.exit(f"not ready: {', '.join(failed) or 'still starting'}")
