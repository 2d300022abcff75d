#!lua flags=allow-oom,allow-cross-slot-keys
-- Deletes candidates that still qualify, or sets a TTL on them. Check and effect are one atomic step, and the same
-- step records the outcome in a ledger key, so that a repeated call returns the same reply (idempotent).
--
-- KEYS[1]   the ledger key: one letter per candidate that it records
-- KEYS[2..] the candidates of this call, all in the slot of the ledger; none if they are arguments (option 'n')
-- ARGV[1]   'delete' or 'expire' (candidates that still have no TTL), 'inactive' (candidates that still expire at
--           the same time as at the scan), or 'record:X' (record the letter X for each candidate, touch nothing)
-- ARGV[2]   options, one letter each:
--           n  the candidates are arguments, and may be in any slots of this node
--           u  an earlier attempt may have acted and its ledger may be lost: a missing key gets 'n' (unconfirmed)
--           f  a hash whose fields expire, judged by up to 100 of them, gets 't'. Used only for servers that have
--              hashes with field TTLs, because it takes up to three commands per key
--           s  delete only values that were saved; the last arguments identify them (below)
-- ARGV[3]   not before, ARGV[4] not after: milliseconds of this server's clock
-- ARGV[5]   how many candidates the ledger records, ARGV[6] how many of them come before those of this call,
-- ARGV[7]   how many candidates this call has. Other candidates get '.' in a new ledger: left to other calls
-- then      with option 'n': the candidates
-- then      for 'expire': the TTL of each candidate in milliseconds
-- then      for 'inactive': candidates with this many milliseconds left, or fewer, are spared; candidates used within
--           this many seconds are spared, unless this is ''; and for each candidate, when it must expire
-- then      with option 's': a string with one letter per candidate, and one argument per candidate. For '=' the
--           argument is the SHA-1 of a string; for ':' it is the length of the DUMP reply, a colon, and its last 8
--           bytes, which contain a checksum. A candidate whose value has changed is spared. 'f': its value could not be
--           saved, so the candidate fails.
--
-- Returns one letter per candidate of this call, '!late', or '!early N' (milliseconds to wait); '' if the ledger is void.
-- Lookups that do not follow from the letters (`lookups` in guard.rs) are appended: their number, all of existing keys,
-- and the number of those by HRANDFIELD and GET, each after a space.
--
-- The letter 'x' (elsewhere) is given with option 'n' to a candidate that could not be read or changed here. Nothing was
-- done to it, and the ledger records that it is left to a call with its own slot, where the server returns the reason
-- as the error of the call. Without option 'n' the error is returned from here: an error of the first read before
-- anything was written; an error of the effect after its candidate got the letter 'f' (failed) in the ledger.
--
-- The script first reads everything, then writes the ledger, which only the first call can, and then acts. Calls of
-- this script are most of the server's cost of deleting, so it has few commands, and no copies of values: Redis hashes
-- every byte of a string that a script creates, which takes as long as its SHA-1. Errors are caught (`pcall`): Valkey 9.1
-- fails the next scripts of a connection after one that was not.
local pcall, mode, options, ledger = redis.pcall, ARGV[1], ARGV[2], KEYS[1]
local clock = pcall('TIME')
if clock.err then return clock end
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if now >= tonumber(ARGV[4]) then return '!late' end

local total, before, count = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local by_node = string.find(options, 'n', 1, true)
local keys, skip, args = KEYS, 1, 7
if by_node then keys, skip, args = ARGV, 7, 7 + count end
local gone = string.find(options, 'u', 1, true) and 'n' or 'v'
local fields = string.find(options, 'f', 1, true)
local saved, contents = string.find(options, 's', 1, true), #ARGV - count
local lookups, reads, refused = 0, 0, nil
local letters, due = {}, {}
if mode == 'delete' or mode == 'expire' or mode == 'inactive' then
  if now < tonumber(ARGV[3]) then return '!early ' .. string.format('%.0f', ARGV[3] - now) end
  local found = mode == 'expire' and 'e' or 'd'
  for i = 1, count do
    local key, letter, kind = keys[skip + i], 's', saved and string.sub(ARGV[contents], i, i)
    if kind == 'f' then
      letter = 'f'
    elseif mode ~= 'inactive' then
      local ttl = pcall('PTTL', key)
      if ttl == -1 then letter = found
      elseif ttl == -2 then letter = gone
      elseif type(ttl) == 'table' then letter, refused = 'x', ttl end
      if fields and ttl == -1 then
        local kept = pcall('TYPE', key)
        if kept.err then letter, refused = 'x', kept else lookups = lookups + 1 end
        if kept.ok == 'hash' then
          local names, lasting = pcall('HRANDFIELD', key, 100), false
          if names.err then
            letter, refused = 'x', names
          else
            lookups, reads = lookups + 1, reads + 1
            local times = #names > 0 and pcall('HPTTL', key, 'FIELDS', #names, unpack(names)) or {}
            if times.err then
              letter, refused = 'x', times
            else
              if #names > 0 then lookups = lookups + 1 end
              for _, left in ipairs(times) do lasting = lasting or left == -1 end
              if not lasting then letter = 't' end
            end
          end
        end
      end
    else
      local expires = pcall('PEXPIRETIME', key)
      if type(expires) == 'table' then
        letter, refused = 'x', expires
      elseif expires == -2 then
        letter = gone
      else
        -- Lua numbers are exact up to 53 bits: later expiry times cannot be compared.
        local still = expires < 2^53 and expires == tonumber(ARGV[args + 2 + i])
          and expires - now > tonumber(ARGV[args + 1])
        -- Queried for every key that exists, so that the number of lookups is known. A server without idle times
        -- returns an error.
        if ARGV[args + 2] ~= '' then
          local idle = pcall('OBJECT', 'IDLETIME', key)
          still = still and type(idle) == 'number' and idle >= tonumber(ARGV[args + 2])
        end
        if still then letter = found end
      end
    end
    -- Read for every key that exists, for the same reason.
    if kind and (letter == 'd' or letter == 's') then
      local content
      if kind == '=' then
        local text = pcall('GET', key)
        content = type(text) == 'string' and redis.sha1hex(text)
      else
        local value = pcall('DUMP', key)
        if type(value) == 'table' then letter, refused = 'x', value end
        content = type(value) == 'string' and #value .. ':' .. string.sub(value, -8)
      end
      if letter ~= 'x' and content ~= ARGV[contents + i] then letter = 's' end
    end
    letters[i] = letter
    if letter == 'd' or letter == 'e' then due[#due + 1] = i end
  end
  if refused and not by_node then return refused end
else
  local letter = string.sub(mode, -1)
  for i = 1, count do letters[i] = letter end
end

local outcome, left, right = table.concat(letters), '', ''
if count < total then left, right = string.rep('.', before), string.rep('.', total - before - count) end
local created = pcall('SET', ledger, left .. outcome .. right, 'NX', 'PXAT', ARGV[4])
if created and created.err then return created end
if not created then
  local recorded = pcall('GET', ledger)
  -- Not a string only if it is unreadable.
  if type(recorded) ~= 'string' or recorded == '' then return recorded end
  if #recorded ~= total then return '?' end
  local known = string.sub(recorded, before + 1, before + count)
  if not string.find(known, '.', 1, true) then return known end
  -- Decides only what other calls have left to this one.
  lookups, reads, due = lookups + 1, reads + 1, {}
  for i = 1, count do
    local letter = string.sub(known, i, i)
    if letter ~= '.' then letters[i] = letter
    elseif letters[i] == 'd' or letters[i] == 'e' then due[#due + 1] = i end
  end
  outcome = table.concat(letters)
  left, right = string.sub(recorded, 1, before), string.sub(recorded, before + count + 1)
  local updated = pcall('SET', ledger, left .. outcome .. right, 'KEEPTTL')
  if updated.err then return updated end
end

-- One command per key: UNLINK of keys in several slots is refused as a whole. It frees memory lazily, for any type and
-- size of value.
local corrected
for _, i in ipairs(due) do
  local reply
  if letters[i] == 'd' then
    reply = pcall('UNLINK', keys[skip + i])
  else
    reply = pcall('PEXPIRE', keys[skip + i], ARGV[args + i])
  end
  if type(reply) == 'table' then letters[i], corrected = by_node and 'x' or 'f', reply end
end
if corrected then
  outcome = table.concat(letters)
  pcall('SET', ledger, left .. outcome .. right, 'KEEPTTL')
  if not by_node then return corrected end
end
if lookups > 0 then return outcome .. ' ' .. lookups .. ' ' .. reads end
return outcome
