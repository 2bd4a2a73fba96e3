"""Posts one event at the door and waits until it can be read back from the table.

An error is an alarm. The function measures the whole way: API, queue, delivery, table. A door that
says "later", because others have used up its rate or the queue is away for a moment, is asked again
until the time is over: that clients are many is no failure of the door.
"""
import json
import os
import time
import urllib.error
import urllib.request

import boto3

TABLE = boto3.client("dynamodb")
WAIT_SECONDS = float(os.environ["WAIT_SECONDS"])
LATER = (429, 503)  # answers that say that nothing was accepted, and when to come again


def post():
    headers = {"Content-Type": "application/json", "User-Agent": "pillarbox-canary"}
    if os.environ.get("API_KEY"):
        headers["X-Api-Key"] = os.environ["API_KEY"]
    body = json.dumps({"canary": True}).encode()
    request = urllib.request.Request(os.environ["URL"], data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait(refusal):
    """How long the refusal asks to wait, in seconds: 1 where it does not say, 10 at most."""
    try:
        return min(max(float(refusal.headers.get("Retry-After", "1")), 0), 10)
    except ValueError:
        return 1


def accepted(begin):
    while True:
        try:
            return post()
        except urllib.error.HTTPError as refusal:
            pause = wait(refusal)
            if refusal.code not in LATER or time.monotonic() - begin + pause > WAIT_SECONDS:
                raise
        time.sleep(pause)


def stored(receipt):
    key = {"Timestamp": {"S": receipt["timestamp"]}, "RequestId": {"S": receipt["request_id"]}}
    found = TABLE.get_item(TableName=os.environ["TABLE"], Key=key, ConsistentRead=True, ProjectionExpression="RequestId")
    return "Item" in found


def handler(event, context):
    begin = time.monotonic()
    receipt = accepted(begin)
    while not stored(receipt):
        if time.monotonic() - begin > WAIT_SECONDS:
            raise TimeoutError("not stored after %.0f s: %s" % (WAIT_SECONDS, json.dumps(receipt)))
        time.sleep(1)
    return {"request_id": receipt["request_id"], "seconds": round(time.monotonic() - begin, 3)}
