#!lua flags=allow-oom,allow-cross-slot-keys
-- Deletes candidates that still qualify, or sets a TTL on them. Check and effect are one atomic step, and the same
-- step records the outcome in a ledger key, so that a repeated call returns the same reply (idempotent).
--
-- KEYS[1]   the ledger key: one letter per candidate that it records
-- KEYS[2..] the candidates of this call, all in the slot of the ledger; none if they are arguments (option 'n')
-- ARGV[1]   'delete' or 'expire' (candidates that still have no TTL), 'inactive' (delete candidates that still expire
--           at the same time as at the scan), 'clamp' (shorten TTLs that are too long), or 'record:X' (record the
--           letter X for each candidate, touch nothing)
-- ARGV[2]   options, one letter each:
--           n  the candidates are arguments, and may be in any slots of this node
--           u  an earlier attempt may have acted, and its ledger may be lost: a candidate without an outcome in the ledger
--              that does not qualify now may be one that it changed, and gets 'n' (unconfirmed)
--           f  a hash whose fields expire, judged by up to 100 of them, gets 't'. Used only for servers that have
--              hashes with field TTLs, because it takes up to three commands per key
--           s  delete only values that were saved; the last arguments identify them (below)
--           w  act only on candidates of which a condition is true (below)
-- ARGV[3]   not before, ARGV[4] not after: milliseconds of this server's clock
-- ARGV[5]   how many candidates the ledger records, ARGV[6] how many of them come before those of this call,
-- ARGV[7]   how many candidates this call has. Other candidates get '.' in a new ledger: left to other calls
-- then      with option 'w': the condition, as words in prefix notation, and a string with one character per candidate and
--           term of the condition about names or users: 1 if it is true, 0 if it is not, ? if that is unknown
-- then      with option 'n': the candidates
-- then      for 'expire': the TTL of each candidate in milliseconds; for 'clamp' its longest
-- then      for 'inactive': candidates with this many milliseconds left, or fewer, are spared; candidates used within
--           this many seconds are spared, unless this is ''; and for each candidate, when it must expire
-- then      with option 's': a string with one letter per candidate, and one argument per candidate. For '=' the
--           argument is the SHA-1 of a string; for ':' it is the length of the DUMP reply, a colon, and its last 8
--           bytes, which contain a checksum. A candidate whose value has changed is spared. 'f': its value could not be
--           saved, so the candidate fails.
--
-- Returns one letter per candidate of this call, '!late', or '!early N' (milliseconds to wait); '' if the ledger is void.
-- Lookups that do not follow from the letters (`lookups` in guard.rs) are appended: the number of those of existing keys,
-- how many of these were by HRANDFIELD, GET and the like, and the number of those of missing keys, each after a space.
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
local conditional = string.find(options, 'w', 1, true)
local head = conditional and 9 or 7
local keys, skip, args = KEYS, 1, head
if by_node then keys, skip, args = ARGV, head, head + count end
local doubtful = string.find(options, 'u', 1, true)
local fields = string.find(options, 'f', 1, true)
local saved, contents = string.find(options, 's', 1, true), #ARGV - count
local lookups, reads, misses, refused = 0, 0, 0, nil
local letters, due = {}, {}

-- The condition. What rests on a fact that is unknown is neither true nor false: nil.
local holds, known, number, candidate
if conditional then
  local words, at = {}, 0
  for word in string.gmatch(ARGV[8], '%S+') do words[#words + 1] = word end
  local function parse()
    at = at + 1
    local sign, rest = string.match(words[at], '^([&|!])(%d*)$')
    if not sign then return { string.match(words[at], '^(%a+)([<>=!~]+)(.*)$') } end
    local node = { sign }
    for i = 1, sign == '!' and 1 or tonumber(rest) do node[i + 1] = parse() end
    return node
  end
  local tree, decided = parse(), #ARGV[9] / count
  local lengths = { list = 'LLEN', set = 'SCARD', zset = 'ZCARD', hash = 'HLEN', stream = 'XLEN' }
  -- Facts of the candidate, each read once; false if unknown, and for the TTL if it has none.
  local function fact(name)
    if known[name] ~= nil then return known[name] end
    local value, command = nil, name == 'length' and lengths[fact('type')]
    if name == 'type' then value = pcall('TYPE', candidate).ok
    elseif name == 'idle' or name == 'freq' then
      value = pcall('OBJECT', name == 'idle' and 'IDLETIME' or 'FREQ', candidate)
    elseif name == 'bytes' then value = pcall('MEMORY', 'USAGE', candidate)
    elseif command then value, reads = pcall(command, candidate), reads + 1 end
    if command or name == 'type' or name == 'idle' or name == 'freq' then lookups = lookups + 1 end
    if name ~= 'type' and type(value) ~= 'number' then value = false end
    if name == 'idle' and value then value = value * 1000 end
    known[name] = value or false
    return known[name]
  end
  local function term(name, sign, limit)
    if name == 'key' then
      local at = (number - 1) * decided + limit
      local truth = string.sub(ARGV[9], at, at)
      if truth == '?' then return nil end
      return truth == '1'
    end
    local value = fact(name)
    if limit == 'none' then return (value == false) == (sign == '=') end
    if value == false then
      if name == 'ttl' then return sign == '!=' end
      return nil
    end
    if name == 'type' then
      return (string.find(',' .. limit .. ',', ',' .. value .. ',', 1, true) ~= nil) == (sign == '=')
    end
    limit = tonumber(limit)
    -- Larger numbers are not exact here.
    if value >= 2^53 then return nil end
    if sign == '<' then return value < limit elseif sign == '<=' then return value <= limit
    elseif sign == '=' then return value == limit elseif sign == '!=' then return value ~= limit
    elseif sign == '>=' then return value >= limit else return value > limit end
  end
  local function truth(node)
    local sign = node[1]
    if sign ~= '!' and sign ~= '&' and sign ~= '|' then return term(unpack(node)) end
    if sign == '!' then
      local inner = truth(node[2])
      if inner == nil then return nil end
      return not inner
    end
    local decisive, unknown = sign == '|', false
    for i = 2, #node do
      local part = truth(node[i])
      if part == decisive then return decisive end
      unknown = unknown or part == nil
    end
    if unknown then return nil end
    return not decisive
  end
  holds = function(i, key, left)
    number, candidate, known = i, key, { ttl = left }
    return truth(tree) == true
  end
end

if mode == 'delete' or mode == 'expire' or mode == 'inactive' or mode == 'clamp' then
  if now < tonumber(ARGV[3]) then return '!early ' .. string.format('%.0f', ARGV[3] - now) end
  local clamps = mode == 'clamp'
  local found = mode == 'expire' and 'e' or clamps and 'c' or 'd'
  for i = 1, count do
    local key, letter, kind = keys[skip + i], 's', saved and string.sub(ARGV[contents], i, i)
    if kind == 'f' then
      letter = 'f'
    elseif mode ~= 'inactive' then
      local ttl = pcall('PTTL', key)
      if ttl == -1 then letter = clamps and 's' or found
      elseif ttl == -2 then letter = 'v'
      elseif type(ttl) == 'table' then letter, refused = 'x', ttl
      elseif clamps and ttl > tonumber(ARGV[args + i]) then letter = found end
      if holds and letter == found and not holds(i, key, ttl >= 0 and ttl) then letter = 's' end
      if fields and letter == found then
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
        letter = 'v'
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
        if still and (not holds or holds(i, key, expires - now)) then letter = found end
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
    if doubtful and letter ~= found and letter ~= 'x' then
      -- The lookups that otherwise follow from the letter: of its expiry, its idle time, its value, its type.
      if letter == 's' then
        lookups = lookups + 1 + (mode == 'inactive' and ARGV[args + 2] ~= '' and 1 or 0) + (kind and 1 or 0)
        if kind == '=' then reads = reads + 1 end
      elseif letter == 't' then
        lookups = lookups + 1
      elseif letter == 'v' then
        misses = misses + 1
      end
      letter = 'n'
    end
    letters[i] = letter
    if letter == found then due[#due + 1] = i end
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
    elseif string.find('dec', letters[i], 1, true) then due[#due + 1] = i end
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
if lookups + misses > 0 then return outcome .. ' ' .. lookups .. ' ' .. reads .. ' ' .. misses end
return outcome
