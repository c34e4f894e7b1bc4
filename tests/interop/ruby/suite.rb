# frozen_string_literal: true

# The stock Ruby `stomp` gem against a broker: what its users do, in each version it speaks.
$VERBOSE = nil # the gem prints a warning when a broker closes, which is what some scenarios want
require_relative 'harness'
require_relative 'session'

T = Harness.new('ruby')

def queue = "/queue/#{T.unique('q')}"
def topic = "/topic/#{T.unique('t')}"
def bodies(messages) = messages.map { |m| m.body.b }
def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

# Nothing else may come before a message sent now.
def expect_nothing_but_sentinel(session, destination, headers = {})
  session.send(destination, 'sentinel', headers)
  expect('next message', session.message.body, 'sentinel')
end

def each_version(*versions)
  versions.each { |v| yield v, ->(name, &body) { T.scenario("#{v}/#{name}", &body) } }
end

each_version('1.0', '1.1', '1.2') do |v, scenario|
  scenario.call('connect') do
    Session.open(v) do |s|
      connected = s.connection.connection_frame
      expect('command', connected.command, 'CONNECTED')
      expect('version', connected.headers['version'] || '1.0', v)
      expect('session', connected.headers['session'].to_s, /./)
    end
  end

  scenario.call('bodies') do
    sent = [(0..255).to_a.pack('C*') * 4, '', "Grüße, 世界 \u{1F980}".b, Random.new(7).bytes(1 << 20), "a\0b"]
    Session.open(v) do |s|
      to = queue
      sent.each { |body| s.send_sure(to, body, 'content-type' => 'application/octet-stream') }
      s.subscribe(to)
      sent.each do |body|
        got = s.message
        expect('body', got.body.b == body, true)
        expect('content-length', got.headers['content-length'], body.bytesize.to_s)
        expect('content-type', got.headers['content-type'], 'application/octet-stream')
      end
    end
  end

  scenario.call('queue-starts-at-the-earliest') do
    Session.open(v) do |s|
      to = queue
      5.times { |i| s.send_sure(to, "m#{i}") }
      s.subscribe(to)
      got = s.messages(5)
      expect('order', bodies(got), %w[m0 m1 m2 m3 m4])
      expect('destination', got[0].headers['destination'], to)
      expect('redelivered', got[0].headers['redelivered'] || 'false', 'false')
    end
  end

  scenario.call('queue-competing-consumers') do
    to = queue
    Session.open(v) do |a|
      Session.open(v) do |b|
        [a, b].each { |s| s.subscribe(to, ack: 'client', 'prefetch-count': 1) }
        Session.open(v) { |sender| 20.times { |i| sender.send_sure(to, "m#{i}") } }
        got = { a => [], b => [] }
        # Each acknowledges only when the other had its turn, so both must be served.
        10.times do
          pair = [a, b].map { |s| [s, s.message] }
          pair.each { |s, m| s.ack_sure(m); got[s] << m.body }
        end
        expect('all, once', (got[a] + got[b]).sort, Array.new(20) { |i| "m#{i}" }.sort)
      end
    end
  end

  scenario.call('redelivery-to-the-other-after-a-drop') do
    to = queue
    Session.open(v) do |b|
      first = nil
      Session.open(v) do |a|
        a.subscribe(to, ack: 'client')
        a.send_sure(to, 'precious')
        first = a.message
        b.subscribe(to, ack: 'client')
      end
      again = b.message
      expect('body', again.body, 'precious')
      expect('redelivered', again.headers['redelivered'], 'true')
      expect('message-id', again.headers['message-id'], first.headers['message-id'])
      b.ack_sure(again)
      expect_nothing_but_sentinel(b, to)
    end
  end

  scenario.call('unsubscribe-returns-what-is-unacknowledged') do
    to = queue
    Session.open(v) do |a|
      Session.open(v) do |b|
        a.subscribe(to, ack: 'client')
        a.send_sure(to, 'undecided')
        a.message
        b.subscribe(to, ack: 'client')
        a.unsubscribe(to)
        expect('body', b.message.body, 'undecided')
      end
    end
  end

  scenario.call('topic-only-new-and-to-each') do
    to = topic
    Session.open(v) do |a|
      Session.open(v) do |b|
        a.send_sure(to, 'before')
        [a, b].each { |s| s.subscribe(to) }
        6.times { |i| a.send_sure(to, "m#{i}") }
        [a, b].each { |s| expect('bodies', bodies(s.messages(6)).sort, %w[m0 m1 m2 m3 m4 m5]) }
      end
    end
  end

  scenario.call('group-shares-and-groups-do-not') do
    x = T.unique('x')
    one = "/group/#{T.unique('g')}/#{x}"
    two = "/group/#{T.unique('g')}/#{x}"
    Session.open(v) do |a|
      Session.open(v) do |b|
        Session.open(v) do |c|
          a.send_sure("/queue/#{x}", 'm0') # a new group starts at the earliest
          c.subscribe(two)
          a.subscribe(one, ack: 'client', 'prefetch-count': 1)
          shared = [a.message]
          b.subscribe(one, ack: 'client', 'prefetch-count': 1)
          c.send_sure("/topic/#{x}", 'm1')
          shared << b.message # a still holds its only message
          expect('shared', bodies(shared).sort, %w[m0 m1])
          expect('other group', bodies(c.messages(2)).sort, %w[m0 m1])
        end
      end
    end
  end

  scenario.call('ack-auto') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'seen')
      s.subscribe(to)
      expect('ack header', s.message.headers['ack'], nil)
      s.unsubscribe(to)
      s.subscribe(to)
      expect_nothing_but_sentinel(s, to)
    end
  end

  scenario.call('ack-client-is-cumulative') do
    to = queue
    Session.open(v) do |s|
      4.times { |i| s.send_sure(to, "m#{i}") }
      s.subscribe(to, ack: 'client')
      s.ack_sure(s.messages(4)[2])
    end
    Session.open(v) do |s|
      s.subscribe(to, ack: 'client')
      expect('left', s.message.body, 'm3')
      expect_nothing_but_sentinel(s, to)
    end
  end

  scenario.call('receipts-in-order') do
    to = queue
    Session.open(v) do |s|
      100.times { |i| s.send(to, "m#{i}", receipt: "s-#{i}") }
      got = Array.new(100) { s.frame('RECEIPT').headers['receipt-id'] }
      expect('order', got, Array.new(100) { |i| "s-#{i}" })
    end
  end

  scenario.call('disconnect-receipt') do
    to = queue
    Session.open(v) do |s|
      s.send(to, 'last words')
      expect('receipt-id', s.disconnect.headers['receipt-id'], 'bye')
    end
    Session.open(v) do |s|
      s.subscribe(to)
      expect('body', s.message.body, 'last words')
    end
  end

  scenario.call('disconnect-without-receipt-keeps-what-was-sent') do
    to = queue
    Session.open(v) do |s|
      20.times { |i| s.send(to, "m#{i}") }
      s.connection.disconnect
    end
    Session.open(v) do |s|
      s.subscribe(to)
      expect('bodies', bodies(s.messages(20)), Array.new(20) { |i| "m#{i}" })
    end
  end

  scenario.call('transaction-commit') do
    to = queue
    Session.open(v) do |s|
      s.subscribe(to)
      s.connection.begin('tx')
      2.times { |i| s.send(to, "in#{i}", transaction: 'tx') }
      s.send_sure(to, 'outside')
      expect('first', s.message.body, 'outside')
      s.with_receipt { |r| s.connection.commit('tx', r) }
      expect('then', bodies(s.messages(2)), %w[in0 in1])
    end
  end

  scenario.call('transaction-abort') do
    to = queue
    Session.open(v) do |s|
      s.subscribe(to)
      s.connection.begin('tx')
      s.send(to, 'never', transaction: 'tx')
      s.with_receipt { |r| s.connection.abort('tx', r) }
      expect_nothing_but_sentinel(s, to)
    end
  end

  scenario.call('transaction-ack-aborted-stays-valid') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'once')
      s.subscribe(to, ack: 'client')
      got = s.message
      s.connection.begin('tx1')
      s.ack(got, transaction: 'tx1')
      s.with_receipt { |r| s.connection.abort('tx1', r) }
      s.connection.begin('tx2')
      s.ack(got, transaction: 'tx2')
      s.with_receipt { |r| s.connection.commit('tx2', r) }
    end
    Session.open(v) do |s|
      s.subscribe(to)
      expect_nothing_but_sentinel(s, to)
    end
  end

  scenario.call('transaction-ack-aborted-by-a-drop-is-redelivered') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'still here')
      s.subscribe(to, ack: 'client')
      s.connection.begin('tx')
      s.ack_sure(s.message, transaction: 'tx')
    end
    Session.open(v) do |s|
      s.subscribe(to)
      expect('body', s.message.body, 'still here')
    end
  end

  scenario.call('unreceive') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'try again', 'x-mine' => 'kept')
      s.subscribe(to)
      s.connection.unreceive(s.message)
      again = s.message
      expect('body', again.body, 'try again')
      expect('retry_count', again.headers['retry_count'], '1')
      expect('x-mine', again.headers['x-mine'], 'kept')
    end
  end

  { 'bad-destination' => ->(s) { s.send('/queue/', 'x', receipt: 'mine') },
    'commit-of-unknown-transaction' => ->(s) { s.connection.commit('nope', receipt: 'mine') },
    'bad-ack-mode' => ->(s) { s.connection.subscribe(queue, id: '1', ack: 'sometimes', receipt: 'mine') },
    'unknown-ack-id' => lambda { |s|
      s.subscribe(queue, ack: 'client')
      s.connection.ack('nope', subscription: 'sub-1', receipt: 'mine')
    } }.each do |name, provoke|
    scenario.call("error-#{name}") do
      Session.open(v) do |s|
        provoke.call(s)
        error = s.error_and_close
        expect('message', error.headers['message'].to_s, /./)
        expect('receipt-id', error.headers['receipt-id'], 'mine')
      end
    end
  end

  scenario.call('selector') do
    to = topic
    Session.open(v) do |s|
      s.subscribe(to, selector: "price > 9.5 AND kind LIKE 'a%' AND note IS NULL")
      [%w[9 a1], %w[10 b1], %w[10 a2], %w[11.5 a3]].each do |price, kind|
        s.send_sure(to, kind + price, 'price' => price, 'kind' => kind)
      end
      s.send_sure(to, 'noted', 'price' => '20', 'kind' => 'a', 'note' => 'x')
      s.send_sure(to, 'last', 'price' => '20', 'kind' => 'az')
      expect('bodies', bodies(s.messages(3)).sort, %w[a210 a311.5 last])
    end
  end

  scenario.call('tag-filter') do
    to = topic
    Session.open(v) do |s|
      s.subscribe(to, tag: 'a||c')
      %w[a b c b a].each_with_index { |tag, i| s.send_sure(to, "#{tag}#{i}", tag: tag, 'x-n' => i.to_s) }
      got = s.messages(3)
      expect('bodies', bodies(got).sort, %w[a0 a4 c2])
      expect('tag', got.map { |m| m.headers['tag'] }.sort, %w[a a c])
    end
  end

  scenario.call('delay') do
    to = queue
    Session.open(v) do |s|
      s.subscribe(to)
      started = now
      s.send_sure(to, 'later', delay: '1200')
      s.send_sure(to, 'now')
      came = Array.new(2) { [s.message.body, now - started] }.to_h
      expect('bodies', came.keys.sort, %w[later now])
      expect('waited', came['later'], 1.15..)
    end
  end
end

each_version('1.1', '1.2') do |v, scenario|
  scenario.call('ack-client-individual') do
    to = queue
    Session.open(v) do |s|
      3.times { |i| s.send_sure(to, "m#{i}") }
      s.subscribe(to, ack: 'client-individual')
      s.ack_sure(s.messages(3)[1])
    end
    Session.open(v) do |s|
      s.subscribe(to)
      got = s.messages(2)
      expect('left', bodies(got), %w[m0 m2])
      expect('redelivered', got.map { |m| m.headers['redelivered'] }, %w[true true])
    end
  end

  scenario.call('nack-redelivers') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'again')
      s.subscribe(to, ack: 'client-individual')
      first = s.message
      s.nack(first)
      second = s.message
      expect('redelivered', [first, second].map { |m| m.headers['redelivered'] }, %w[false true])
      expect('message-id', second.headers['message-id'], first.headers['message-id'])
      s.ack_sure(second)
      expect_nothing_but_sentinel(s, to)
    end
  end

  scenario.call('nack-without-requeue-is-a-dead-letter') do
    x = T.unique('q')
    group = T.unique('g')
    Session.open(v) do |s|
      s.send_sure("/queue/#{x}", 'poison')
      s.subscribe("/group/#{group}/#{x}", ack: 'client-individual')
      s.nack(s.message, requeue: 'false')
      expect_nothing_but_sentinel(s, "/queue/#{x}")
      s.subscribe("/amq/queue/%DLQ%#{group}", id: 'dead')
      expect('dead letter', s.message(id: 'dead').body, 'poison')
    end
  end

  scenario.call('header-escapes') do
    to = queue
    value = "a:b\\ c\nd ünï ✓ " # the gem itself mistakes \\\\c for an escaped colon
    value += "\r." if v == '1.2'
    Session.open(v) do |s|
      s.send_sure(to, 'x', 'x-value' => value, 'x:na\\me' => 'odd', 'x-empty' => '', receipt: 'r:1\\')
      s.subscribe(to)
      got = s.message.headers
      expect('value', got['x-value'], value)
      expect('name', got['x:na\\me'], 'odd')
      expect('empty', got['x-empty'], '')
    end
  end

  scenario.call('receipt-id-escapes') do
    Session.open(v) do |s|
      s.send(queue, 'x', receipt: "r:1\\\n2")
      expect('receipt-id', s.frame('RECEIPT').headers['receipt-id'], "r:1\\\n2")
    end
  end

  scenario.call('repeated-headers') do
    to = queue
    Session.open(v) do |s|
      s.send_sure(to, 'x', 'x-many' => %w[one two three].map(&:dup), 'x-one' => 'single')
      s.subscribe(to)
      got = s.message.headers
      expect('repeated', got['x-many'], %w[one two three])
      expect('single', got['x-one'], 'single')
    end
  end

  scenario.call('heart-beats') do
    tried do
      Session.open(v, headers: { 'heart-beat' => '1000,1000' }) do |s|
        deadline = now + Session::WAIT
        until s.connection.hbrecv_count >= 3 && s.connection.hbsend_count >= 3
          raise "beats seen: #{s.connection.hbrecv_count}" if now > deadline

          sleep 0.05
        end
        s.send_sure(queue, 'still there')
      end
    end
  end

  scenario.call('error-duplicate-subscription-id') do
    Session.open(v) do |s|
      s.subscribe(queue)
      s.connection.subscribe(queue, id: 'sub-1')
      s.error_and_close
    end
  end
end

T.scenario('1.2-to-1.0/leaves-out-what-1.0-cannot-say') do
  to = queue
  Session.open('1.2') do |s|
    s.send_sure(to, 'x', 'x-lines' => "a\nb", 'x-empty' => '', 'x-colon' => 'a:b', 'x-back' => 'a\\ b')
  end
  Session.open('1.0') do |s| # this gem raises on an empty value in 1.0
    s.subscribe(to)
    got = s.message.headers
    expect('x-lines', got['x-lines'], nil)
    expect('x-empty', got['x-empty'], nil)
    expect('x-colon', got['x-colon'], 'a:b')
    expect('x-back', got['x-back'], 'a\\ b')
  end
end

T.scenario('1.2/backlog-larger-than-the-window') do
  to = queue
  count = 2500
  Session.open('1.2') do |s|
    count.times { |i| s.send(to, "m#{i}") }
    s.send_sure(to, 'last')
    s.subscribe(to, ack: 'client')
    count.times do |i|
      got = s.message
      expect('order', got.body, "m#{i}")
      s.ack(got) if (i % 100) == 99
    end
    s.ack_sure(s.message)
  end
  Session.open('1.2') do |s|
    s.subscribe(to)
    expect_nothing_but_sentinel(s, to)
  end
end

T.scenario('1.2/crlf-and-STOMP-command') do
  Session.open('1.2', usecrlf: true, stompconn: true) do |s|
    to = queue
    s.send_sure(to, "a\r\nb", 'x-value' => 'plain')
    s.subscribe(to)
    got = s.message
    expect('body', got.body, "a\r\nb")
    expect('header', got.headers['x-value'], 'plain')
  end
end

T.scenario('version-negotiation-takes-the-highest') do
  s = Session.new('1.2', headers: { 'accept-version' => '1.0,1.1,1.2' })
  expect('version', s.connection.protocol, '1.2')
  s.drop
end

if ENV['STOMP_LOGIN']
  T.scenario('wrong-passcode-is-refused') do
    wrong = Session.address.merge(passcode: 'certainly wrong')
    s = Session.new('1.2', hosts: [wrong])
    expect('command', s.connection.connection_frame.command, 'ERROR')
  end
end

if ENV['ACL_LIMITED_USER']
  T.scenario('what-a-user-may-not-is-refused') do
    limited = Session.address.merge(login: ENV['ACL_LIMITED_USER'], passcode: ENV['ACL_LIMITED_SECRET'])
    s = Session.new('1.2', hosts: [limited])
    s.send_sure(queue, 'permitted')
    s.send('/queue/forbidden', 'refused', receipt: 'mine')
    expect('receipt-id', s.error_and_close.headers['receipt-id'], 'mine')
  end
end

T.finish
