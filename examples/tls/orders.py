import os, stomp

host, port = os.environ.get("STOMP_ADDR", "localhost:61613").split(":")
client = stomp.Connection12([(host, int(port))])
client.set_ssl(for_hosts=[(host, int(port))], ca_certs="certs/ca.pem")
client.connect(wait=True)

client.send("/queue/orders", "one cocoa", headers={"tag": "drinks"})
client.disconnect(receipt="bye")
