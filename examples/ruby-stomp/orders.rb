require 'stomp'

host, port = ENV.fetch('STOMP_ADDR', '127.0.0.1:61613').split(':')
client = Stomp::Client.new(hosts: [{ host: host, port: port.to_i }], reliable: false,
                           connect_headers: { 'accept-version' => '1.2', 'host' => host })

orders = Queue.new
client.subscribe('/queue/orders', ack: 'client-individual') { |order| orders << order }
client.publish('/queue/orders', 'one tea', tag: 'drinks')

loop do
  order = orders.pop
  puts "#{order.body} (#{order.headers['tag']})"
  client.acknowledge(order)
  break if order.body == 'one tea'
end
client.close
