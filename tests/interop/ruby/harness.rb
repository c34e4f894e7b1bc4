# frozen_string_literal: true

# Runs named scenarios and prints one line each: `ok NAME`, `FAIL NAME why`, `skip NAME`.
#
# ONLY and SKIP in the environment are regular expressions over the names; SKIP is for
# running the same scenarios against brokers that lack an extension.
require 'timeout'

class Harness
  DEADLINE = 120

  def initialize(unit)
    @unit = unit
    @counts = Hash.new(0)
    @serial = 0
    $stdout.sync = true
  end

  def scenario(name, &body)
    return if ENV['ONLY'] && name !~ Regexp.new(ENV['ONLY'])
    return report('skip', name) if ENV['SKIP'] && name =~ Regexp.new(ENV['SKIP'])

    Timeout.timeout(DEADLINE, &body)
    report('ok', name)
  rescue StandardError => e
    report('FAIL', name, " #{e.class}: #{e.message} (#{own_line(e)})")
  end

  # A name no other scenario or run uses, so that nothing left behind can be mistaken for ours.
  def unique(kind)
    "it-#{@unit}-#{kind}-#{Process.pid}-#{rand(16**6).to_s(16)}-#{@serial += 1}"
  end

  def finish
    line = "#{@counts['ok']} passed, #{@counts['FAIL']} failed"
    line += ", #{@counts['skip']} skipped" if @counts['skip'].positive?
    puts line
    exit(@counts['FAIL'].zero? && @counts['ok'].positive? ? 0 : 1)
  end

  private

  def report(verdict, name, why = '')
    @counts[verdict] += 1
    puts "#{verdict} #{name}#{why.tr("\n", ' ')}"
  end

  def own_line(error)
    line = (error.backtrace || []).find { |l| l.include?('suite.rb') }
    line ? line[/suite\.rb:\d+/] : 'outside the suite'
  end
end

# A scenario about intervals of time: a machine that is busy can spoil it once, a broker that is wrong spoils it always.
def tried(times = 3)
  yield
rescue StandardError
  raise if (times -= 1).zero?

  retry
end

def expect(what, actual, wanted)
  return if wanted === actual

  raise "#{what}: got #{actual.inspect[0, 200]}, wanted #{wanted.inspect[0, 200]}"
end
