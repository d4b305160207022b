"""The scripts that `ValkeyLeaseStore` runs in Valkey; each is atomic. Times are milliseconds there.

`until` holds for each leased or lingering series when its last lease ends (milliseconds);
`lease:<series>` holds the end of each instance's lease; `client:<digest>` holds the end of each
"<instance> <series>" that the client holds. Earlier versions do not know the latter. `watched`
holds until when each derived series counts as watched.
"""

from __future__ import annotations

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
HOLD = """
local function hold(leases, series, instance, ttl)
  redis.call('ZADD', leases, now + ttl, instance)
  redis.call('PEXPIRE', leases, ttl)
  redis.call('ZADD', KEYS[1], 'GT', now + ttl, series)
end
local function hold_for(client, series, instance, ttl)
  redis.call('ZADD', client, now + ttl, instance .. ' ' .. series)
  redis.call('PEXPIRE', client, ttl)
end
"""
LEASE = (
    NOW
    + HOLD
    + """
local series, instance, ttl, idle, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local venue_limit, client_limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local client_venue_limit, client = tonumber(ARGV[8]), KEYS[3]
local function venue_of(name) return string.match(name, '^[^:]*:[^:]*') end
local pinned, venues = {}, {}
for i = 9, #ARGV do
  pinned[ARGV[i]] = true
  venues[venue_of(ARGV[i])] = true
end
if client then
  redis.call('ZREMRANGEBYSCORE', client, '-inf', now)
  local held, counted, held_venues, held_taken = {}, 0, {}, 0
  for _, member in ipairs(redis.call('ZRANGE', client, 0, -1)) do
    local name = string.match(member, ' (.*)')
    if not pinned[name] and not held[name] then
      held[name], counted = true, counted + 1
      local venue = venue_of(name)
      if not venues[venue] and not held_venues[venue] then
        held_venues[venue], held_taken = true, held_taken + 1
      end
    end
  end
  if not held[series] then
    local venue = venue_of(series)
    local is_new = not venues[venue] and not held_venues[venue]
    if client_limit > 0 and counted >= client_limit then return 0 end
    if is_new and client_venue_limit > 0 and held_taken >= client_venue_limit then return 0 end
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - idle)
if limit + venue_limit > 0 and not pinned[series] and not redis.call('ZSCORE', KEYS[1], series) then
  -- In the order in which the last leases end, so the longest idle come first.
  local counted, lingering, newest = 0, {}, {}
  local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local name, venue = members[i], venue_of(members[i])
    if not pinned[name] then
      counted = counted + 1
      if tonumber(members[i + 1]) <= now then lingering[#lingering + 1] = name end
      if not venues[venue] then newest[venue] = name end
    end
  end
  local evicted = {}
  local function evict(name) evicted[name], counted = true, counted - 1 end
  if venue_limit > 0 and not venues[venue_of(series)] and not newest[venue_of(series)] then
    local surplus = 1 - venue_limit
    for _ in pairs(newest) do surplus = surplus + 1 end
    for _, last in ipairs(lingering) do
      if surplus > 0 and newest[venue_of(last)] == last then
        surplus = surplus - 1
        for _, name in ipairs(lingering) do
          if venue_of(name) == venue_of(last) then evict(name) end
        end
      end
    end
    if surplus > 0 then return 0 end
  end
  for _, name in ipairs(lingering) do
    if limit > 0 and counted >= limit and not evicted[name] then evict(name) end
  end
  if limit > 0 and counted >= limit then return 0 end
  for name in pairs(evicted) do redis.call('ZREM', KEYS[1], name) end
end
hold(KEYS[2], series, instance, ttl)
if client then hold_for(client, series, instance, ttl) end
return 1
"""
)
RENEW = (
    NOW
    + HOLD
    + """
local leases = tonumber(ARGV[3])
for i = 4, #ARGV do
  if i < 4 + leases then
    hold(KEYS[i - 2], ARGV[i], ARGV[1], ARGV[2])
  else
    hold_for(KEYS[i - 2], ARGV[i], ARGV[1], ARGV[2])
  end
end
"""
)
RELEASE = (
    NOW
    + """
for i = 3, #KEYS do redis.call('ZREM', KEYS[i], ARGV[2] .. ' ' .. ARGV[1]) end
if redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then return end
local last = redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')[2]
redis.call('ZADD', KEYS[1], 'XX', math.max(now, tonumber(last or 0)), ARGV[1])
"""
)
LEASED = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local answer = {}
for i = 1, #found, 2 do
  local leases = redis.call('ZCOUNT', ARGV[2] .. found[i], '(' .. now, '+inf')
  answer[#answer + 1] = {found[i], leases, found[i + 1]}
end
return answer
"""
)
WATCH = (
    NOW
    + """
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'GT', now + ARGV[1], ARGV[i]) end
"""
)
WATCHED = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
RENEW_OWNER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE_OWNER = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
