-- Keeps the newest version of a quote's document. Agrees with writeDraft in quote_events.go.
-- KEYS[1]  hash redisquote.Keys.Quote(quote)
-- ARGV[1]  version   ARGV[2]  document
-- Returns  1 when the document stands there now, 0 when a newer one does.
local have = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if have > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'doc', ARGV[2])
return 1
