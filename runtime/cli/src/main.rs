fn main(){ let t = "a=1".parse::<toml::Table>(); println!("{t:?}"); }
