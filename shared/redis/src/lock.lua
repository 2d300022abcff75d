-- Renews or releases a lock, if this process still has it.
-- KEYS[1] lock; ARGV[1] our value; ARGV[2] lease in milliseconds, 0 to release it. Returns 1 if the lock was ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('UNLINK', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
