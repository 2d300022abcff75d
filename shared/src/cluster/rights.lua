-- Which commands the user may run. ARGV holds for each of them the number of its words, and then the words. Answers for
-- each 'yes', 'no', or 'unknown' for a command that the server does not have.
--
-- A command must be whole: Valkey 9.1.2 crashes when it is asked about one that it knows with too few words.
local check, said, at = redis.acl_check_cmd, {}, 1
if not check then return redis.error_reply('ERR no redis.acl_check_cmd') end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  local known, allowed = pcall(check, unpack(ARGV, at + 1, at + words))
  said[#said + 1] = not known and 'unknown' or allowed and 'yes' or 'no'
  at = at + words + 1
end
return said
