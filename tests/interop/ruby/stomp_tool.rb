# frozen_string_literal: true

# A STOMP client that a test in another language steers: a JSON command a line in, a JSON answer a line out.
#
#   {"op":"send","destination":"/queue/x","bodyBase64":"aGk=","headers":[["tag","a"],["x-y","1"],["x-y","2"]]}
#     -> {"ok":true}                                                    once the broker's RECEIPT is there
#   {"op":"receive","destination":"/group/g/x","count":1,"timeoutMs":5000,"headers":[["tag","a"]]}
#     -> {"ok":true,"messages":[{"bodyBase64":"aGk=","headers":[["destination","/queue/x"],...],"receivedAt":1767686400123}]}
#   {"op":"hello"} -> {"ok":true,"client":"stomp 1.4.10","tls":false}
#   {"op":"quit"}                                                       as does the end of the input
#
# `receive` acknowledges what it returns; it returns less than `count` when the time is over. Headers are pairs
# in their order on the wire, unescaped. An `id` is echoed; a failure is {"ok":false,"error":"..."}.
# The gem itself adds content-length, and content-type when none is given.
require 'base64'
require 'json'
require_relative 'session'

$VERBOSE = nil
$stdout.sync = true

VERSION = ENV.fetch('STOMP_VERSION', '1.2')

class Tool
  def run(input, output)
    input.each_line do |line|
      command = JSON.parse(line)
      break if command['op'] == 'quit'

      output.puts(JSON.generate({ id: command['id'] }.compact.merge(answer(command))))
    end
  end

  private

  def answer(command)
    { ok: true }.merge(carry_out(command))
  rescue StandardError => e
    @sender = nil # its state is unknown now
    { ok: false, error: "#{e.class}: #{e.message}" }
  end

  def carry_out(command)
    case command['op']
    when 'hello' then { client: "stomp #{Stomp::Version::STRING}", tls: ENV['TLS'] == '1' }
    when 'send' then send(command)
    when 'receive' then { messages: receive(command) }
    else raise ArgumentError, "unknown op #{command['op'].inspect}"
    end
  end

  def send(command)
    @sender ||= Session.new(VERSION)
    body = Base64.strict_decode64(command.fetch('bodyBase64'))
    @sender.send_sure(command.fetch('destination'), body, hash(command['headers']))
    {}
  end

  def receive(command)
    deadline = now + (command.fetch('timeoutMs') / 1000.0)
    Session.open(VERSION) do |session|
      session.subscribe(command.fetch('destination'), ack: 'client-individual',
                        'prefetch-count': command.fetch('count').to_s, **hash(command['headers']))
      got = []
      while got.length < command['count'] && (message = session.message_before(deadline))
        at = (Time.now.to_f * 1000).to_i
        session.ack_sure(message)
        body = Base64.strict_encode64(message.body)
        got << { bodyBase64: body, headers: pairs(message.original), receivedAt: at }
      end
      got
    end
  end

  # The gem takes a hash, and writes a list as repeated headers.
  def hash(pairs)
    (pairs || []).group_by(&:first).to_h do |name, all|
      values = all.map { |_, value| +value }
      [name.to_sym, values.length == 1 ? values[0] : values]
    end
  end

  # The head of the frame as it came, since a hash has no order of repeated names.
  def pairs(frame)
    head = frame.b.split("\n\n", 2).first.force_encoding(Encoding::UTF_8)
    head.split("\n").drop(1).map { |line| line.split(':', 2).map { |part| unescape(part) } }
  end

  def unescape(text)
    return text if VERSION == '1.0'

    text.gsub(/\\[\\rnc]/, '\\\\' => '\\', '\\r' => "\r", '\\n' => "\n", '\\c' => ':')
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

Tool.new.run($stdin, $stdout)
