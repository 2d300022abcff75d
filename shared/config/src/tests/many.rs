//! All jobs of a file at once, and all its Redis deployments.

use super::*;

const JOBS: &str = "[redis.east]\nurls = [\"redis://e\"]\npassword = \"pw-e\"\n\
                    [redis.west]\nurls = [\"redis://w\"]\n\
                    [[job]]\nname = \"a\"\nredis = \"east\"\ngrace = \"2s\"\n\
                    [[job]]\nname = \"b\"\nredis = \"west\"\n";

/// `job@alias url grace` of each, or the error.
fn all(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: Option<&str>) -> String {
    let env = Environment::from_pairs(env.iter().copied());
    let show = |settings: &Settings| {
        let (job, alias, url) = (&settings.job.value, &settings.alias.value, &settings.redis.urls.value[0]);
        format!("{job}@{alias} {url} {}", duration::show(settings.grace.value))
    };
    match resolve_all(&flags(given_flags), &env, text.map(file).as_ref()) {
        Ok(all) => Vec::from_iter(all.iter().map(show)).join(", "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_job_is_resolved_as_if_alone() {
    assert_eq!(all(&[], &[], Some(JOBS)), "a@east redis://e 2s, b@west redis://w 1s");
    assert_eq!(all(&[("--grace", "3s")], &[], Some(JOBS)), "a@east redis://e 3s, b@west redis://w 3s");
    assert_eq!(all(&[], &[("KEYSWEEP_JOB", "b")], Some(JOBS)), "b@west redis://w 1s");
    let default = "permission-cache-cleanup@main redis://127.0.0.1:6379 1s";
    assert_eq!(all(&[], &[], None), default);
    assert_eq!(all(&[], &[], Some("")), default);
    let bad = format!("{JOBS}grace = 5\n");
    assert!(all(&[], &[], Some(&bad)).starts_with("keysweep.toml:13: `grace` is `5`"));
}

#[test]
fn one_url_is_not_used_for_several_deployments() {
    assert_eq!(
        all(&[], &[("REDIS_URL", "redis://x")], Some(JOBS)),
        "`REDIS_URL` gives one Redis deployment, but the jobs use several: `east`, `west`; leave it out, \
         or name one job with `--job`"
    );
    let one_job = [("--job", "a"), ("--redis", "redis://x")];
    assert_eq!(all(&one_job, &[], Some(JOBS)), "a@east redis://x 2s");
    let one_alias = [("KEYSWEEP_REDIS_ALIAS", "west"), ("REDIS_URL", "redis://x")];
    assert_eq!(all(&[], &one_alias, Some(JOBS)), "a@west redis://x 2s, b@west redis://x 1s");
}

#[test]
fn all_jobs_have_the_same_connection() {
    let env = Environment::default();
    let text = format!("[nats]\nurl = \"nats://h\"\n{JOBS}");
    let all = resolve_all(&flags(&[]), &env, Some(&file(&text))).expect("good settings");
    assert!(all.iter().all(|settings| settings.nats.is_some()));
}

/// `alias user password url` of each, or the error.
fn found(given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: Option<&str>) -> String {
    let env = Environment::from_pairs(env.iter().copied());
    let found = match deployments(&flags(given_flags), &env, text.map(file).as_ref()) {
        Ok(found) => found,
        Err(error) => return error.to_string(),
    };
    assert!(!format!("{found:?}").contains("pw-"), "{found:?}");
    let show = |(alias, one): (&keysweep_model::ids::Alias, &RedisSettings)| {
        let word = one.password.value.as_ref().map_or("-", Secret::expose);
        format!("{alias} {} {word} {}", one.username.value.as_deref().unwrap_or("-"), one.urls.value[0])
    };
    Vec::from_iter(found.iter().map(show)).join(", ")
}

#[test]
fn every_deployment_of_the_file_is_known() {
    assert_eq!(found(&[], &[], None), "main - - redis://127.0.0.1:6379");
    assert_eq!(found(&[("--redis", "redis://x"), ("--user", "me")], &[], None), "main me - redis://x");
    assert_eq!(found(&[], &[], Some(JOBS)), "east - pw-e redis://e, west - - redis://w");
}

#[test]
fn flags_and_environment_address_one_of_them() {
    let alias = ("KEYSWEEP_REDIS_ALIAS", "west");
    let env = [alias, ("REDISCLI_AUTH", "pw-x")];
    assert_eq!(found(&[], &env, Some(JOBS)), "east - pw-e redis://e, west - pw-x redis://w");
    let only = "[redis.east]\nurls = [\"redis://e\"]\n";
    assert_eq!(found(&[("--redis", "redis://x")], &[], Some(only)), "east - - redis://x");
    let expected = "it takes the alias of one of `[redis.east]`, `[redis.west]`";
    assert_eq!(
        found(&[("--redis", "redis://x")], &[], Some(JOBS)),
        format!("the default of `redis` is `main`; {expected}")
    );
    let north = [("KEYSWEEP_REDIS_ALIAS", "north")];
    assert_eq!(found(&[], &north, Some(JOBS)), format!("`KEYSWEEP_REDIS_ALIAS` is `north`; {expected}"));
    let with_main = format!("{JOBS}[redis.main]\nurls = [\"redis://m\"]\n");
    assert!(found(&[], &[("REDIS_URL", "redis://x")], Some(&with_main)).contains("main - - redis://x"));
}

#[test]
fn a_backup_goes_to_the_deployment_that_is_named_or_to_one_of_all() {
    let check = |given_flags: &[(&'static str, &str)], env: &[(&str, &str)], text: &str, expected: &str| {
        let env = Environment::from_pairs(env.iter().copied());
        let found = match destinations(&flags(given_flags), &env, Some(&file(text))) {
            Ok(found) => {
                let show = |(alias, to): (&keysweep_model::ids::Alias, &RedisSettings)| {
                    format!("{alias} {}", to.urls.value[0])
                };
                found.deployments.iter().map(show).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{given_flags:?} {text}");
    };
    let several = "keysweep.toml has several jobs: name one with `--job`: `a`, `b`";
    let no_tables = "[[job]]\nname = \"a\"\n[[job]]\nname = \"b\"\n";
    check(&[], &[], JOBS, "east redis://e, west redis://w");
    check(&[("--job", "b")], &[], JOBS, "west redis://w");
    check(&[], &[("KEYSWEEP_REDIS_ALIAS", "west")], JOBS, "west redis://w");
    check(&[("--redis", "redis://x")], &[("KEYSWEEP_REDIS_ALIAS", "west")], JOBS, "west redis://x");
    check(&[("--redis", "redis://x")], &[], JOBS, several);
    check(&[("--redis", "redis://x")], &[], no_tables, "main redis://x");
    check(&[], &[], no_tables, "main redis://127.0.0.1:6379");
}
