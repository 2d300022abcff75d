//! `cargo xtask sbom`: the components of the binary `keysweep` as a CycloneDX 1.5 document. It is generated from
//! cargo's own dependency resolution: it lists the crates for one target, including build dependencies, without those
//! used only by tests. The same commit gives the same bytes: no time, no serial number, no local paths.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cargo::{cargo, root};

/// The path of the document, below the workspace's root.
const PLACE: &str = "target/keysweep.cdx.json";

/// The crate that contains the binary.
const BINARY: &str = "keysweep";

/// Writes the document for `target`.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn run(target: &str) -> Result<ExitCode> {
    let bom = document(target)?;
    let text = serde_json::to_string_pretty(&bom)? + "\n";
    // Cargo may use another target directory.
    std::fs::create_dir_all(root().join("target")).context("failed to create `target`")?;
    std::fs::write(root().join(PLACE), text).with_context(|| format!("failed to write `{PLACE}`"))?;
    let count = bom["components"].as_array().map_or(0, Vec::len);
    eprintln!("xtask: wrote {PLACE}, {count} crates for {target}");
    Ok(ExitCode::SUCCESS)
}

fn document(target: &str) -> Result<Value> {
    let args = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let output = cargo(&args).output().context("failed to start `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata = serde_json::from_slice(&output.stdout)?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("failed to read `Cargo.lock`")?;
    bill(&metadata, &toml::from_str(&lock)?, target)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The identifier of a package in the document.
fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn bill(metadata: &Value, lock: &toml::Value, target: &str) -> Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(package, "id"), package)).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).map(|node| (text(node, "id"), node)).collect();
    let mine = packages.iter().find(|(_, package)| text(package, "name") == BINARY);
    let (top, package) = mine.with_context(|| format!("there is no crate `{BINARY}`"))?;
    let (mut found, mut open) = (BTreeSet::from([*top]), vec![*top]);
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some(id) = open.pop() {
        let needs = nodes.get(id).map(|node| needs(node)).unwrap_or_default();
        let name = |id: &str| packages.get(id).map(|package| purl(package)).unwrap_or_default();
        edges.insert(name(id), needs.iter().map(|id| name(id)).collect());
        open.extend(needs.into_iter().filter(|id| found.insert(id)));
    }
    let checksums = checksums(lock);
    let mut components = Vec::new();
    for (id, package) in packages.iter().filter(|(id, _)| found.contains(*id) && *id != top) {
        let component = component(package, checksums.get(&purl(package)));
        components.push(component.with_context(|| format!("`{id}` has no licence"))?);
    }
    components.sort_by_key(|component| text(component, "purl").to_owned());
    let dependencies: Vec<Value> =
        edges.iter().map(|(name, needs)| json!({ "ref": name, "dependsOn": needs })).collect();
    let version = text(package, "version");
    let application = json!({
        "type": "application",
        "bom-ref": purl(package),
        "name": "keysweep",
        "version": version,
        "licenses": [{ "expression": licence(package) }],
    });
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": application,
            "properties": [{ "name": "cdx:rustc:sbom:target:triple", "value": target }],
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// The normal and build dependencies of a package, without dev-dependencies.
fn needs(node: &Value) -> Vec<&str> {
    let for_all = |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    list(&node["deps"]).filter(for_all).map(|dependency| text(dependency, "pkg")).collect()
}

/// The SHA-256 of each package according to `Cargo.lock`.
fn checksums(lock: &toml::Value) -> BTreeMap<String, &str> {
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let each = packages.filter_map(|package| {
        let word = |name| package.get(name).and_then(toml::Value::as_str);
        Some((format!("pkg:cargo/{}@{}", word("name")?, word("version")?), word("checksum")?))
    });
    each.collect()
}

/// The license in SPDX syntax: old crates write `MIT/Apache-2.0`.
fn licence(package: &Value) -> String {
    text(package, "license").replace('/', " OR ")
}

fn component(package: &Value, checksum: Option<&&str>) -> Option<Value> {
    let licence = licence(package);
    if licence.is_empty() {
        return None;
    }
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": [{ "expression": licence }],
    });
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(url) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_dependencies_of_the_binary_only() {
        let bom = document("x86_64-unknown-linux-gnu").unwrap();
        let names: Vec<&str> = list(&bom["components"]).map(|component| text(component, "name")).collect();
        for there in ["redis", "async-nats", "ring", "keysweep-model", "keysweep-reaper", "clap_derive", "cc"]
        {
            assert!(names.contains(&there), "`{there}` is not in {names:?}");
        }
        for absent in ["proptest", "xtask", "windows-sys", "allocation-counter"] {
            assert!(!names.contains(&absent), "`{absent}` is in {names:?}");
        }
        let refs: BTreeSet<&str> =
            list(&bom["components"]).map(|component| text(component, "bom-ref")).collect();
        assert_eq!(refs.len(), names.len(), "each occurs once");
        for component in
            list(&bom["components"]).filter(|component| component["purl"] != bom["metadata"]["component"])
        {
            let name = text(component, "name");
            assert!(
                name.starts_with("keysweep-")
                    || component["hashes"][0]["content"].as_str().is_some_and(|hash| hash.len() == 64),
                "{component}"
            );
        }
        let top = text(&bom["metadata"]["component"], "bom-ref");
        for dependency in list(&bom["dependencies"]) {
            for named in list(&dependency["dependsOn"]).chain([&dependency["ref"]]) {
                let named = named.as_str().unwrap();
                assert!(refs.contains(named) || named == top, "`{named}` is no component");
            }
        }
        let whole = bom.to_string();
        assert!(!whole.contains("path+file") && !whole.contains(root().to_str().unwrap()));
    }
}
