import os, queue, stomp

orders = queue.Queue()

class Listener(stomp.ConnectionListener):
    def on_message(self, order):
        orders.put(order)

host, port = os.environ.get("STOMP_ADDR", "127.0.0.1:61613").split(":")
client = stomp.Connection12([(host, int(port))])
client.set_listener("orders", Listener())
client.connect(wait=True)

client.subscribe("/queue/orders", id="1", ack="client-individual")
client.send("/queue/orders", "one tea", headers={"tag": "drinks"})

while True:
    order = orders.get(timeout=10)
    print(f"{order.body} ({order.headers['tag']})")
    client.ack(order.headers["ack"])
    if order.body == "one tea":
        break
client.disconnect(receipt="bye")
