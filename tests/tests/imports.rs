//! Imports between the files of a crate run one way: no file imports another that, directly or over
//! others, imports it. In all crates that ship, a name of a type has one meaning, and public
//! functions fail with a type of their own. Reads `use` lines, paths, types and signatures outside
//! of `#[cfg(test)]`; sees no macro bodies.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, GenericArgument, ImplItem, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, PathArguments,
    ReturnType, Signature, UseTree, Visibility,
    visit::{self, Visit},
};
use tgs_e2e::bin_path::workspace;

type ModulePath = Vec<String>;

/// One module: its file, the names it imports, and every path it mentions.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    imported: BTreeMap<String, ModulePath>,
    mentioned: Vec<ModulePath>,
    /// The names of the types that it defines.
    types: Vec<String>,
    /// Its public functions that fail with a text.
    failing_with_text: Vec<String>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
struct Modules(BTreeMap<ModulePath, Module>);

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let test = |text: &str| text == "test" || text.starts_with("all(test");
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .meta
                    .require_list()
                    .is_ok_and(|list| test(&list.tokens.to_string().replace(' ', "")))
    })
}

impl Modules {
    fn read(&mut self, file: &Path, module: &ModulePath) {
        let items = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap().items;
        let stem = file.file_stem().unwrap().to_string_lossy();
        let parent = file.parent().unwrap();
        let below = if stem == "lib" { parent.to_owned() } else { parent.join(&*stem) };
        self.add(file, &below, module, &items);
    }

    fn add(&mut self, file: &Path, below: &Path, module: &ModulePath, items: &[Item]) {
        let mut found = Found { children: children(items), ..Found::default() };
        for item in items {
            found.visit_item(item);
        }
        for child in found.modules {
            let path = [&module[..], &[child.ident.to_string()]].concat();
            match child.content {
                Some((_, items)) => self.add(file, &below.join(child.ident.to_string()), &path, &items),
                None => self.read(&below.join(format!("{}.rs", child.ident)), &path),
            }
        }
        let absolute = |path: &ModulePath| absolute(module, path, &found.children);
        let imported = found.imported.iter().filter_map(|(name, path)| Some((name.clone(), absolute(path)?)));
        let entry = Module {
            file: file.to_owned(),
            imported: imported.collect(),
            mentioned: found.mentioned.iter().filter_map(absolute).collect(),
            types: items.iter().filter_map(type_name).collect(),
            failing_with_text: found.failing_with_text,
        };
        self.0.insert(module.clone(), entry);
    }

    /// The file that defines what `path` names, through re-exports.
    fn file_of(&self, path: &ModulePath, depth: usize) -> Option<&Path> {
        let (length, module) =
            (0..=path.len()).rev().find_map(|length| Some((length, self.0.get(&path[..length])?)))?;
        match path.get(length).and_then(|name| module.imported.get(name)) {
            Some(target) if depth > 0 => {
                self.file_of(&[&target[..], &path[length + 1..]].concat(), depth - 1)
            }
            _ => Some(&module.file),
        }
    }

    /// Which file imports which.
    fn imports(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut imports: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for module in self.0.values() {
            let targets = module.mentioned.iter().filter_map(|path| self.file_of(path, 8));
            imports.entry(&module.file).or_default().extend(targets.filter(|file| *file != module.file));
        }
        imports
    }
}

/// What the items of one module mention.
#[derive(Default)]
struct Found {
    children: BTreeSet<String>,
    modules: Vec<ItemMod>,
    imported: BTreeMap<String, ModulePath>,
    mentioned: Vec<ModulePath>,
    failing_with_text: Vec<String>,
}

/// The name of the type that `item` defines.
fn type_name(item: &Item) -> Option<String> {
    let (attributes, name) = match item {
        Item::Struct(item) => (&item.attrs, &item.ident),
        Item::Enum(item) => (&item.attrs, &item.ident),
        Item::Trait(item) => (&item.attrs, &item.ident),
        Item::Type(item) => (&item.attrs, &item.ident),
        _ => return None,
    };
    (!is_test(attributes)).then(|| name.to_string())
}

fn children(items: &[Item]) -> BTreeSet<String> {
    let modules = items.iter().filter_map(|item| match item {
        Item::Mod(module) if !is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

impl Found {
    fn add_use(&mut self, prefix: &ModulePath, tree: &UseTree) {
        let with = |name: &syn::Ident| [&prefix[..], &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(prefix, tree)),
            UseTree::Glob(_) => self.mentioned.push(prefix.clone()),
            UseTree::Name(name) => self.add_import(&name.ident, with(&name.ident)),
            UseTree::Rename(name) => self.add_import(&name.rename, with(&name.ident)),
        }
    }

    /// `self` in a group imports the group's own path.
    fn add_import(&mut self, name: &syn::Ident, mut path: ModulePath) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = if name == "self" { path.last().unwrap().clone() } else { name.to_string() };
        self.imported.insert(name, path.clone());
        self.mentioned.push(path);
    }
}

/// Whether `output` is `Result<_, String>`, of any `Result`.
fn fails_with_text(output: &ReturnType) -> bool {
    let path = |kind: &syn::Type| match kind {
        syn::Type::Path(kind) => kind.path.segments.last().cloned(),
        _ => None,
    };
    let ReturnType::Type(_, output) = output else { return false };
    let Some(result) = path(output).filter(|result| result.ident == "Result") else { return false };
    let PathArguments::AngleBracketed(arguments) = result.arguments else { return false };
    match arguments.args.get(1) {
        Some(GenericArgument::Type(error)) => path(error).is_some_and(|error| error.ident == "String"),
        _ => false,
    }
}

impl Found {
    fn add_function(&mut self, visibility: &Visibility, signature: &Signature) {
        if matches!(visibility, Visibility::Public(_)) && fails_with_text(&signature.output) {
            self.failing_with_text.push(signature.ident.to_string());
        }
    }
}

impl<'a> Visit<'a> for Found {
    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.add_function(&function.vis, &function.sig);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.add_function(&function.vis, &function.sig);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        if !matches!(item, ImplItem::Fn(function) if is_test(&function.attrs)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.modules.push(module.clone());
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.add_use(&Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 {
            self.mentioned.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// `path` as it is named from the crate's root; `None` for another crate, or a local name.
fn absolute(module: &ModulePath, path: &ModulePath, children: &BTreeSet<String>) -> Option<ModulePath> {
    let first = path.first()?;
    let (mut base, rest) = match &**first {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module.clone(), &path[..]),
        name if children.contains(name) => (module.clone(), &path[..]),
        _ => return None,
    };
    let up = rest.iter().take_while(|name| *name == "super").count();
    base.truncate(base.len().checked_sub(up)?);
    base.extend_from_slice(&rest[up..]);
    Some(base)
}

/// The files that reach each other, as sets of more than one.
fn circles(imports: &BTreeMap<&Path, BTreeSet<&Path>>) -> BTreeSet<BTreeSet<PathBuf>> {
    let reached = |from: &Path| -> BTreeSet<PathBuf> {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            for next in imports.get(file).into_iter().flatten() {
                if seen.insert(next.to_path_buf()) {
                    left.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&Path, _> = imports.keys().map(|file| (*file, reached(file))).collect();
    let circle = |file: &&Path| -> BTreeSet<PathBuf> {
        let back = |other: &&PathBuf| all.get(other.as_path()).is_some_and(|seen| seen.contains(*file));
        all[file].iter().filter(back).cloned().collect()
    };
    all.keys().map(circle).filter(|files| files.len() > 1).collect()
}

fn modules_of(root: &Path) -> Modules {
    let mut modules = Modules::default();
    modules.read(root, &Vec::new());
    modules
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let crates = workspace().join("crates");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&crates).unwrap() {
        let modules = modules_of(&entry.unwrap().path().join("src/lib.rs"));
        found.extend(circles(&modules.imports()));
    }
    let below = |file: &Path| file.strip_prefix(&crates).unwrap().to_string_lossy().into_owned();
    let found: BTreeSet<BTreeSet<String>> =
        found.iter().map(|circle| circle.iter().map(|file| below(file)).collect()).collect();
    assert!(found.is_empty(), "files import each other in a circle: {found:#?}");
}

/// The modules of all crates that ship.
fn shipped_modules() -> Vec<Module> {
    // Developers' tools, and what simulates for tests.
    const NOT_SHIPPED: [&str; 3] = ["/xtask/", "/tgs-testdc/", "/simulation"];
    let crates = fs::read_dir(workspace().join("crates")).unwrap();
    let modules =
        crates.flat_map(|entry| modules_of(&entry.unwrap().path().join("src/lib.rs")).0.into_values());
    let ships = |file: &Path| NOT_SHIPPED.iter().all(|part| !file.to_string_lossy().contains(part));
    modules.filter(|module| ships(&module.file)).collect()
}

#[test]
fn a_name_of_a_type_has_one_meaning() {
    // Each tool has one command line.
    const SAME_EVERYWHERE: &str = "Cli";
    let mut defined: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for module in shipped_modules() {
        for name in module.types {
            defined.entry(name).or_default().insert(module.file.clone());
        }
    }
    assert!(defined.len() > 500, "{} types", defined.len());
    defined.retain(|name, files| files.len() > 1 && name != SAME_EVERYWHERE);
    assert!(defined.is_empty(), "types of one name: {defined:#?}");
}

#[test]
fn a_public_function_fails_with_a_type_of_its_own() {
    let mut found = Vec::new();
    for module in shipped_modules() {
        found
            .extend(module.failing_with_text.iter().map(|name| format!("{}: {name}", module.file.display())));
    }
    assert!(found.is_empty(), "public functions that return Result<_, String>: {found:#?}");
}

#[test]
fn functions_that_fail_with_a_text_are_seen() {
    let text = "pub fn a() -> Result<u8, String> { b() }
        fn b() -> Result<u8, String> { Ok(1) }
        pub(crate) fn c() -> Result<u8, String> { Ok(1) }
        pub fn d() -> Result<String, E> { Ok(1) }
        impl E { pub fn e(&self) -> std::result::Result<(), std::string::String> { Ok(()) } }
        #[cfg(test)] mod tests { pub fn f() -> Result<u8, String> { Ok(1) } }";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lib.rs");
    fs::write(&file, text).unwrap();
    assert_eq!(modules_of(&file).0[&Vec::new()].failing_with_text, ["a", "e"]);
}

#[test]
fn circles_are_seen_through_re_exports_and_not_in_tests() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::create_dir(file("a")).unwrap();
    for (name, text) in [
        ("lib.rs", "mod a; mod b; mod c; pub use b::B; #[cfg(test)] mod t { use super::a; }"),
        ("a.rs", "mod d; pub(crate) struct A(d::D); #[cfg(test)] mod tests { use crate::c::C; }"),
        ("a/d.rs", "use crate::B; pub(crate) struct D(B);"),
        ("b.rs", "pub struct B; fn f() { crate::a::A; }"),
        ("c.rs", "use crate::{a::A, b::{self, B}};"),
    ] {
        fs::write(file(name), text).unwrap();
    }
    let modules = modules_of(&file("lib.rs"));
    let circle = ["a.rs", "a/d.rs", "b.rs"].map(file);
    assert_eq!(circles(&modules.imports()), BTreeSet::from([BTreeSet::from(circle)]));
}
