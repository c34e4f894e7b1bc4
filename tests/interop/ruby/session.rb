# frozen_string_literal: true

# One STOMP session of the stock `stomp` gem, with deadlines: frames that arrive while
# another one is awaited are kept, and an unexpected ERROR fails the scenario.
#
# The address comes from STOMP_ADDR (host:port), TLS and TLS_CA, STOMP_LOGIN and STOMP_PASSCODE,
# STOMP_VHOST (the `host` header).
require 'stomp'
require 'timeout'

Thread.report_on_exception = false # the gem's heart-beat threads die with their socket

# The gem still calls what Ruby 3.2 removed.
File.singleton_class.alias_method(:exists?, :exist?) unless File.respond_to?(:exists?)

class Session
  Late = Class.new(StandardError)
  WAIT = 30
  HOST, PORT = ENV.fetch('STOMP_ADDR').split(/:(?=\d+\z)/)

  VHOST = ENV.fetch('STOMP_VHOST', HOST)

  attr_reader :connection, :version

  def self.open(version, **options)
    session = new(version, **options)
    yield session
  ensure
    session&.drop
  end

  def initialize(version, headers: {}, **options)
    @version = version
    @kept = []
    @receipts = 0
    negotiated = version == '1.0' ? {} : { 'accept-version' => version, 'host' => VHOST }
    @connection = Stomp::Connection.new(
      { hosts: [self.class.address], reliable: false, connect_timeout: WAIT, connread_timeout: WAIT,
        parse_timeout: WAIT, connect_headers: negotiated.merge(headers) }.merge(options)
    )
  end

  def self.address
    address = { host: HOST, port: PORT.to_i }
    address.update(login: ENV['STOMP_LOGIN'], passcode: ENV['STOMP_PASSCODE']) if ENV['STOMP_LOGIN']
    address[:ssl] = Stomp::SSLParams.new(ts_files: ENV.fetch('TLS_CA')) if ENV['TLS'] == '1'
    address
  end

  def send(destination, body, headers = {})
    @connection.publish(destination, body, headers)
  end

  # SEND that returns when the broker has the message.
  def send_sure(destination, body, headers = {})
    with_receipt { |receipt| send(destination, body, headers.merge(receipt)) }
  end

  def subscribe(destination, id: 'sub-1', ack: 'auto', **headers)
    with_receipt { |receipt| @connection.subscribe(destination, { id: id, ack: ack }.merge(headers, receipt)) }
  end

  def unsubscribe(destination, id: 'sub-1')
    with_receipt { |receipt| @connection.unsubscribe(destination, { id: id }.merge(receipt)) }
  end

  def ack(message, headers = {})
    @connection.ack(*acknowledged(message, headers))
  end

  def nack(message, headers = {})
    @connection.nack(*acknowledged(message, headers))
  end

  def ack_sure(message, headers = {})
    with_receipt { |receipt| ack(message, headers.merge(receipt)) }
  end

  def with_receipt
    id = "r-#{@receipts += 1}"
    yield({ receipt: id })
    receipt(id)
  end

  def message(id: nil)
    frame('MESSAGE') { |f| id.nil? || f.headers['subscription'] == id }
  end

  # A MESSAGE, or nil when the time is over.
  def message_before(deadline)
    @deadline = deadline
    message
  rescue Late
    nil
  ensure
    @deadline = nil
  end

  def messages(count)
    Array.new(count) { message }
  end

  def receipt(id)
    frame('RECEIPT') { |f| f.headers['receipt-id'] == id }
  end

  # The ERROR frame, after which the broker must close.
  def error_and_close
    error = read until error&.command == 'ERROR'
    rest = read until rest.nil? && @connection.closed?
    error
  end

  # The next frame of this kind that the block accepts.
  def frame(command)
    at = @kept.index { |f| f.command == command && (!block_given? || yield(f)) }
    return @kept.delete_at(at) if at

    loop do
      got = read or raise "connection closed while waiting for #{command}"
      raise "ERROR instead of #{command}: #{got.headers['message']} #{got.body}" if got.command == 'ERROR'
      return got if got.command == command && (!block_given? || yield(got))

      @kept << got
    end
  end

  # A polite goodbye: the gem takes the next frame for the RECEIPT, so nothing may follow DISCONNECT.
  def disconnect
    Timeout.timeout(WAIT) { @connection.disconnect(receipt: 'bye') }
    @connection.disconnect_receipt
  end

  # The socket is gone without a word, as when a process dies.
  def drop
    @connection.instance_variable_get(:@socket)&.close unless @connection.closed?
  rescue IOError
    nil
  end

  private

  def read
    left = @deadline ? @deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC) : WAIT
    raise Late, 'the time is over' if left <= 0

    Timeout.timeout(left) { @connection.receive }
  rescue Timeout::Error
    raise Late, "nothing arrived within #{left.round(1)} s"
  end

  def acknowledged(message, headers)
    got = message.headers
    case @version
    when '1.2' then [got.fetch('ack'), headers]
    when '1.1' then [got.fetch('message-id'), { subscription: got.fetch('subscription') }.merge(headers)]
    else [got.fetch('message-id'), headers]
    end
  end
end
