#!lua flags=allow-oom
-- Deletes, or gives a TTL to, those candidates that still qualify: check and effect in one atomic step, recorded
-- in a ledger key in the same step, so that asking again gives the same answer.
--
-- KEYS[1]   ledger key of this batch and group; KEYS[2..] candidates, all in one slot
-- ARGV[1]   'delete' or 'expire' (candidates that still have no TTL), 'inactive' (those that still expire when
--           they were seen to), or 'seal:X' (record the letter X for each candidate and touch nothing)
-- ARGV[2]   not before, ARGV[3] not after: milliseconds of this server's clock
-- ARGV[4..] for 'expire': the TTL of each candidate in milliseconds
-- ARGV[4]   for 'inactive': candidates that have so many milliseconds left, or fewer, are spared
-- ARGV[5]   and those used within so many seconds, unless this is ''
-- ARGV[6..] and those that do not expire at this moment each
--
-- Answers one letter per candidate, or '!late', '!early N' (milliseconds to wait), and for the ledger of a call
-- that died half-way ''. Look-ups are counted by the server as `lookups` in guard.rs says.
local mode, clock = ARGV[1], redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[3]) then return '!late' end
local seal = string.match(mode, '^seal:(.)$')
if not seal and now < tonumber(ARGV[2]) then return '!early ' .. string.format('%.0f', ARGV[2] - now) end
if not redis.call('SET', KEYS[1], '', 'NX', 'PXAT', ARGV[3]) then return redis.call('GET', KEYS[1]) end

-- Whether nobody has used the key for long enough. A server that does not know says so by an error.
local function idle(key)
  if ARGV[5] == '' then return true end
  local seconds = redis.pcall('OBJECT', 'IDLETIME', key)
  return type(seconds) == 'number' and seconds >= tonumber(ARGV[5])
end

local function inactive(key, seen)
  local expires = redis.call('PEXPIRETIME', key)
  if expires == -2 then return 'v' end
  -- Always asked, so that the number of look-ups is known.
  local still = idle(key)
  return still and expires == tonumber(seen) and expires - now > tonumber(ARGV[4]) and 'd' or 's'
end

local function stale(key, ttl)
  -- A TTL first: it tells, without a look-up, whether there was none. UNLINK then frees lazily.
  if redis.call('PEXPIRE', key, ttl or 60000, 'NX') == 1 then return ttl and 'e' or 'd' end
  return redis.call('PTTL', key) == -2 and 'v' or 's'
end

local letters, doomed = {}, {}
for i = 2, #KEYS do
  local letter = seal
  if mode == 'inactive' then
    letter = inactive(KEYS[i], ARGV[i + 4])
  elseif not seal then
    letter = stale(KEYS[i], mode == 'expire' and ARGV[i + 2])
  end
  letters[i - 1] = letter
  if letter == 'd' and not seal then doomed[#doomed + 1] = KEYS[i] end
end
if #doomed > 0 then redis.call('UNLINK', unpack(doomed)) end
local outcome = table.concat(letters)
redis.call('SET', KEYS[1], outcome, 'KEEPTTL')
return outcome
