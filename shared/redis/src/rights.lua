-- Which commands the user may run. ARGV contains, for each command, the number of its words and then the words. Returns
-- for each command 'yes', 'no', or 'unknown' if the server does not have it.
--
-- A command must be complete: Valkey 9.1.2 crashes when it checks a command that it knows with too few arguments.
local check, answers, at = redis.acl_check_cmd, {}, 1
if not check then return redis.error_reply('ERR no redis.acl_check_cmd') end
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  local known, allowed = pcall(check, unpack(ARGV, at + 1, at + words))
  answers[#answers + 1] = not known and 'unknown' or allowed and 'yes' or 'no'
  at = at + words + 1
end
return answers
