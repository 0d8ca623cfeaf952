-- Replaces a quote's payment facts, if nobody else has since they were loaded. Agrees with commit in commit.go.
-- KEYS[1]  hash redisquote.Keys.Pay(account, quote)
-- ARGV[1]  digest of the loaded facts, empty for none
-- ARGV[2]  digest of the new facts
-- ARGV[3]  new facts   ARGV[4]  status   ARGV[5]  flags
-- Returns  {1} when the new facts stand there now, also when they already did (a repeated call is harmless);
--          {0, facts, digest} with the stored ones when they are others: fold again onto these.
-- Facts only grow, so a digest never comes back, and equal digests mean that nothing was lost in between.
local have = redis.call('HGET', KEYS[1], 'digest') or ''
if have == ARGV[2] then
  return {1}
end
if have ~= ARGV[1] then
  return {0, redis.call('HGET', KEYS[1], 'facts') or '', have}
end
redis.call('HSET', KEYS[1], 'facts', ARGV[3], 'digest', ARGV[2], 'status', ARGV[4], 'flags', ARGV[5])
return {1}
