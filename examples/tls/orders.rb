require 'stomp'

host, port = ENV.fetch('STOMP_ADDR', 'localhost:61613').split(':')
tls = Stomp::SSLParams.new(ts_files: 'certs/ca.pem')
client = Stomp::Client.new(hosts: [{ host: host, port: port.to_i, ssl: tls }], reliable: false,
                           connect_headers: { 'accept-version' => '1.2', 'host' => host })

client.publish('/queue/orders', 'one tea', tag: 'drinks')
client.close
