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
-- 'saved:' before 'delete' or 'inactive': what is deleted has been saved. The last arguments say what: a string with a
-- letter for each candidate, and then one argument for each. With '=' that is the SHA-1 of a string; with ':' the length
-- of what DUMP answered, a colon, and its last 8 bytes, which hold a checksum of it. A candidate whose value is another
-- one by now is spared; of one with 'f' nothing could be saved, so it fails; and one with '.' is left to a later call,
-- for which '.' stands in the ledger.
--
-- 'fields:' before 'delete' or 'expire' (behind 'saved:'): a hash whose fields expire, as far as 100 of them say, gets the
-- letter 't'. The answer then ends in the number of look-ups that this took, all of keys that are there, and the number of
-- those by HRANDFIELD, each behind a blank.
-- Only said of servers that have hashes with such fields, because it takes up to three commands a key.
--
-- Answers one letter per candidate, or '!late', '!early N' (milliseconds to wait), and for the ledger of a call
-- that died half-way ''. Look-ups are counted by the server as `lookups` in guard.rs says.
--
-- First everything is looked at, then the ledger is written, which only the first call can, and then there is an
-- effect. Calls of this script are most of what deleting costs a server, hence no functions and few commands in it,
-- and no copies of values: Redis hashes every byte of a string that a script makes, which takes as long as its SHA-1.
local call, mode, ledger = redis.call, ARGV[1], KEYS[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[3]) then return '!late' end

-- The first letters tell most modes apart, which costs less than a text of its own: 's' is 115, 'f' is 102.
local sealed = string.byte(mode) == 115 and string.sub(mode, 1, 6) == 'saved:'
local seals, kinds = #ARGV - #KEYS + 1
if sealed then mode, kinds = string.sub(mode, 7), ARGV[seals] end
local fields, looks, reads = string.byte(mode) == 102, 0, 0
if fields then mode = string.sub(mode, 8) end
local letters, doomed = {}, {}
local acts = mode == 'delete' or mode == 'expire' or mode == 'inactive'
if acts then
  if now < tonumber(ARGV[2]) then return '!early ' .. string.format('%.0f', ARGV[2] - now) end
  local found = mode == 'expire' and 'e' or 'd'
  for i = 2, #KEYS do
    local key, letter, kind = KEYS[i], 's', sealed and string.sub(kinds, i - 1, i - 1)
    if kind == '.' or kind == 'f' then
      letter = kind
    elseif mode ~= 'inactive' then
      local ttl = call('PTTL', key)
      if ttl == -1 then letter = found elseif ttl == -2 then letter = 'v' end
      if fields and ttl == -1 then
        looks = looks + 1
        if call('TYPE', key).ok == 'hash' then
          local names, lasting = call('HRANDFIELD', key, 100), false
          looks, reads = looks + 1, reads + 1
          if #names > 0 then
            looks = looks + 1
            for _, left in ipairs(call('HPTTL', key, 'FIELDS', #names, unpack(names))) do
              lasting = lasting or left == -1
            end
          end
          if not lasting then letter = 't' end
        end
      end
    else
      local expires = call('PEXPIRETIME', key)
      if expires == -2 then letter = 'v' end
      -- Numbers of scripts hold 53 bits: of a later moment it is not known whether it is the same.
      local still = expires < 2^53 and expires == tonumber(ARGV[i + 4]) and expires - now > tonumber(ARGV[4])
      -- Asked of every key that is there, so that the number of look-ups is known. A server that does not know
      -- says so by an error.
      if expires ~= -2 and ARGV[5] ~= '' then
        local idle = redis.pcall('OBJECT', 'IDLETIME', key)
        still = still and type(idle) == 'number' and idle >= tonumber(ARGV[5])
      end
      if still then letter = found end
    end
    -- Of every key that is there, for the same reason.
    if kind and (letter == 'd' or letter == 's') then
      local held
      if kind == '=' then
        local text = redis.pcall('GET', key)
        held = type(text) == 'string' and redis.sha1hex(text)
      else
        local value = call('DUMP', key)
        held = value and #value .. ':' .. string.sub(value, -8)
      end
      if held ~= ARGV[seals + i - 1] then letter = 's' end
    end
    letters[i - 1] = letter
    if letter == 'd' then doomed[#doomed + 1] = key end
  end
else
  for i = 2, #KEYS do letters[i - 1] = string.sub(mode, -1) end
end

local outcome = table.concat(letters)
if not call('SET', ledger, outcome, 'NX', 'PXAT', ARGV[3]) then
  local recorded = call('GET', ledger)
  if not string.find(recorded, '.', 1, true) then return recorded end
  -- What an earlier call left to us is decided now, and nothing else.
  doomed = {}
  for i = 1, #letters do
    local before = string.sub(recorded, i, i)
    if before ~= '.' then letters[i] = before
    elseif letters[i] == 'd' then doomed[#doomed + 1] = KEYS[i + 1] end
  end
  outcome = table.concat(letters)
  call('SET', ledger, outcome, 'KEEPTTL')
end

local refused
if #doomed > 0 then
  -- Frees lazily, whatever the values hold.
  local said = redis.pcall('UNLINK', unpack(doomed))
  if type(said) == 'table' then refused = said end
elseif mode == 'expire' then
  for i = 2, #KEYS do
    local said = letters[i - 1] == 'e' and redis.pcall('PEXPIRE', KEYS[i], ARGV[i + 2])
    if type(said) == 'table' then refused = said end
  end
end
-- What was recorded is not true then.
if refused then call('SET', ledger, '', 'KEEPTTL') end
return refused or fields and outcome .. ' ' .. looks .. ' ' .. reads or outcome
