#!lua flags=allow-oom
-- Deletes candidates that still qualify, or sets a TTL on them. Check and effect are one atomic step, and the same
-- step records the outcome in a ledger key, so that a repeated call returns the same reply (idempotent).
--
-- KEYS[1]   ledger key of this batch and group; KEYS[2..] candidates, all in one slot
-- ARGV[1]   'delete' or 'expire' (candidates that still have no TTL), 'inactive' (candidates that still expire at
--           the same time as at the scan), or 'record:X' (record the letter X for each candidate, touch nothing)
-- ARGV[2]   not before, ARGV[3] not after: milliseconds of this server's clock
-- ARGV[4..] for 'expire': the TTL of each candidate in milliseconds
-- ARGV[4]   for 'inactive': candidates with this many milliseconds left, or fewer, are spared
-- ARGV[5]   for 'inactive': candidates used within this many seconds are spared, unless this is ''
-- ARGV[6..] for 'inactive': for each candidate, when it must expire; otherwise it is spared
--
-- 'saved:' before 'delete' or 'inactive': delete only values that were backed up. The last arguments identify them: a
-- string with one letter per candidate, then one argument per candidate. For '=' the argument is the SHA-1 of a string;
-- for ':' it is the length of the DUMP reply, a colon, and its last 8 bytes, which contain a checksum. A candidate
-- whose value has changed is spared. 'f': its value could not be saved, so the candidate fails. '.': the candidate is
-- left to a later call, and the ledger contains '.' for it until then.
--
-- 'fields:' before 'delete' or 'expire' (after 'saved:'): a hash whose fields expire, judged by up to 100 of them, gets
-- the letter 't'. The reply then ends in the number of lookups that this took, all of existing keys, and the number of
-- those by HRANDFIELD, each after a space. Used only for servers that have hashes with field TTLs, because it takes up
-- to three commands per key.
--
-- Returns one letter per candidate, '!late', or '!early N' (milliseconds to wait); '' if the ledger belongs to a call
-- that died half-way. The server counts lookups as `lookups` in guard.rs computes them.
--
-- The script first reads everything, then writes the ledger, which only the first call can, and then acts. Calls of
-- this script are most of the server's cost of deleting, so it has no functions, few commands, and no copies of values:
-- Redis hashes every byte of a string that a script creates, which takes as long as its SHA-1.
local call, mode, ledger = redis.call, ARGV[1], KEYS[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[3]) then return '!late' end

-- The first byte distinguishes most modes without creating a string: 's' is 115, 'f' is 102.
local saved = string.byte(mode) == 115 and string.sub(mode, 1, 6) == 'saved:'
local contents, kinds = #ARGV - #KEYS + 1
if saved then mode, kinds = string.sub(mode, 7), ARGV[contents] end
local fields, lookups, reads = string.byte(mode) == 102, 0, 0
if fields then mode = string.sub(mode, 8) end
local letters, to_delete = {}, {}
local acts = mode == 'delete' or mode == 'expire' or mode == 'inactive'
if acts then
  if now < tonumber(ARGV[2]) then return '!early ' .. string.format('%.0f', ARGV[2] - now) end
  local found = mode == 'expire' and 'e' or 'd'
  for i = 2, #KEYS do
    local key, letter, kind = KEYS[i], 's', saved and string.sub(kinds, i - 1, i - 1)
    if kind == '.' or kind == 'f' then
      letter = kind
    elseif mode ~= 'inactive' then
      local ttl = call('PTTL', key)
      if ttl == -1 then letter = found elseif ttl == -2 then letter = 'v' end
      if fields and ttl == -1 then
        lookups = lookups + 1
        if call('TYPE', key).ok == 'hash' then
          local names, lasting = call('HRANDFIELD', key, 100), false
          lookups, reads = lookups + 1, reads + 1
          if #names > 0 then
            lookups = lookups + 1
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
      -- Lua numbers are exact up to 53 bits: later expiry times cannot be compared.
      local still = expires < 2^53 and expires == tonumber(ARGV[i + 4]) and expires - now > tonumber(ARGV[4])
      -- Queried for every key that exists, so that the number of lookups is known. A server without idle times
      -- returns an error.
      if expires ~= -2 and ARGV[5] ~= '' then
        local idle = redis.pcall('OBJECT', 'IDLETIME', key)
        still = still and type(idle) == 'number' and idle >= tonumber(ARGV[5])
      end
      if still then letter = found end
    end
    -- Read for every key that exists, for the same reason.
    if kind and (letter == 'd' or letter == 's') then
      local content
      if kind == '=' then
        local text = redis.pcall('GET', key)
        content = type(text) == 'string' and redis.sha1hex(text)
      else
        local value = call('DUMP', key)
        content = value and #value .. ':' .. string.sub(value, -8)
      end
      if content ~= ARGV[contents + i - 1] then letter = 's' end
    end
    letters[i - 1] = letter
    if letter == 'd' then to_delete[#to_delete + 1] = key end
  end
else
  for i = 2, #KEYS do letters[i - 1] = string.sub(mode, -1) end
end

local outcome = table.concat(letters)
if not call('SET', ledger, outcome, 'NX', 'PXAT', ARGV[3]) then
  local recorded = call('GET', ledger)
  if not string.find(recorded, '.', 1, true) then return recorded end
  -- Decides only what an earlier call left to a later one.
  to_delete = {}
  for i = 1, #letters do
    local before = string.sub(recorded, i, i)
    if before ~= '.' then letters[i] = before
    elseif letters[i] == 'd' then to_delete[#to_delete + 1] = KEYS[i + 1] end
  end
  outcome = table.concat(letters)
  call('SET', ledger, outcome, 'KEEPTTL')
end

local refused
if #to_delete > 0 then
  -- UNLINK frees memory lazily, for any type and size of value.
  local reply = redis.pcall('UNLINK', unpack(to_delete))
  if type(reply) == 'table' then refused = reply end
elseif mode == 'expire' then
  for i = 2, #KEYS do
    local reply = letters[i - 1] == 'e' and redis.pcall('PEXPIRE', KEYS[i], ARGV[i + 2])
    if type(reply) == 'table' then refused = reply end
  end
end
-- The effect failed, so the recorded outcome is wrong: void the ledger.
if refused then call('SET', ledger, '', 'KEEPTTL') end
return refused or fields and outcome .. ' ' .. lookups .. ' ' .. reads or outcome
