#!lua flags=allow-oom
-- Deletes, or gives a TTL to, those candidates that still have none: check and effect in one atomic step,
-- recorded in a ledger key in the same step, so that asking again gives the same answer.
--
-- KEYS[1]   ledger key of this batch and group; KEYS[2..] candidates, all in one slot
-- ARGV[1]   'delete', 'expire', or 'seal:X' (record the letter X for each candidate and touch nothing)
-- ARGV[2]   not before, ARGV[3] not after: milliseconds of this server's clock
-- ARGV[4..] for 'expire': the TTL of each candidate in milliseconds
--
-- Answers one letter per candidate, or '!late', '!early N' (milliseconds to wait), and for the ledger of a
-- call that died half-way ''. Nothing here counts as a look-up, but for candidates that no longer qualify.
local mode, clock = ARGV[1], redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[3]) then return '!late' end
local seal = string.match(mode, '^seal:(.)$')
if not seal and now < tonumber(ARGV[2]) then return '!early ' .. string.format('%.0f', ARGV[2] - now) end
if not redis.call('SET', KEYS[1], '', 'NX', 'PXAT', ARGV[3]) then return redis.call('GET', KEYS[1]) end
local letters, doomed = {}, {}
for i = 2, #KEYS do
  local letter = seal
  if not seal then
    -- A TTL first: it tells, without a look-up, whether there was none. UNLINK then frees lazily.
    if redis.call('PEXPIRE', KEYS[i], mode == 'delete' and 60000 or ARGV[i + 2], 'NX') == 1 then
      letter = mode == 'delete' and 'd' or 'e'
      if mode == 'delete' then doomed[#doomed + 1] = KEYS[i] end
    else
      letter = redis.call('PTTL', KEYS[i]) == -2 and 'v' or 's'
    end
  end
  letters[i - 1] = letter
end
if #doomed > 0 then redis.call('UNLINK', unpack(doomed)) end
local outcome = table.concat(letters)
redis.call('SET', KEYS[1], outcome, 'KEEPTTL')
return outcome
