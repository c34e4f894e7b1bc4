#!/bin/sh
broker=https://${HTTP_ADDR:-localhost:8080}

# The certificate is checked against the local authority.
curl --cacert certs/ca.pem -d 'one coffee' "$broker/v1/topics/orders/messages?tag=drinks"
