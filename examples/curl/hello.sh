#!/bin/sh
broker=http://${HTTP_ADDR:-127.0.0.1:8080}

# Publish: the body is the message. The topic is created on first use.
curl -d 'one coffee' "$broker/v1/topics/orders/messages?tag=drinks"

# Receive for a group: the message is leased, and comes again unless it is acknowledged in time.
curl -X POST "$broker/v1/groups/kitchen/receive?topic=orders&wait=10s" | tee order.json

# Acknowledge with the handle that came with it.
curl -X DELETE "$broker/v1/messages/$(jq -r '.messages[0].handle' order.json)"

# How far the group is.
curl "$broker/v1/groups/kitchen/offsets?topic=orders"
