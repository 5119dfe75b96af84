//! `#[derive(Object)]`: makes a struct the description of a type of objects on a heap.
//!
//! Of a struct whose fields are links and data it writes down the list of their types, which is all that the trait asks
//! for, and of each field a constant that names it. What the heap lays out, it works out from that list, and a constant
//! can be made only if the list has that type in that place. So what is generated needs no unsafe code and is not trusted:
//! whoever writes it by hand cannot get it wrong either. What the trait does not ask for, but whoever reads the struct
//! would expect, is refused here: that it can be dropped, or that it has lifetimes.
#![forbid(unsafe_code)]

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, GenericParam, Lit, Meta, Result, ext::IdentExt,
    parse_macro_input, spanned::Spanned,
};

/// Makes a struct with named fields, each a `Link`, a `Data` or an array of such, an `Object` of `heaplaw_optimized::typed`.
///
/// For each field there is a constant in capitals, as visible as the field: `next` is `Node::NEXT`. It is an error if the
/// struct implements `Drop`, has a lifetime, or has a field of another type.
#[proc_macro_derive(Object)]
pub fn derive_object(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    object(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// The lines of a doc comment, to be put on something else.
fn documentation(attributes: &[Attribute]) -> Vec<String> {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect()
}

/// The module that everything is in, said here.
fn typed(span: Span) -> TokenStream {
    quote_spanned!(span=> ::heaplaw_optimized::typed)
}

/// What is generated for a struct.
fn object(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            name.span(),
            format!("`{name}` is no struct: an object has the same fields all its life"),
        ));
    };
    let fields = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => {
            return Err(Error::new(
                name.span(),
                format!("the fields of `{name}` need names, by which they are reached"),
            ));
        }
    };
    for parameter in &input.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            let why = format!("`{name}` has the lifetime `{}`: an object holds no borrows", lifetime.lifetime);
            return Err(Error::new(lifetime.span(), why));
        }
    }

    let face = typed(Span::call_site());
    let (implemented, arguments, conditions) = input.generics.split_for_impl();

    let mut list = quote!(#face::layout::End);
    for field in fields.iter().rev() {
        let of = &field.ty;
        list = quote!(#face::layout::And<#of, #list>);
    }

    let mut number = quote!(#face::layout::First);
    let mut constants = Vec::new();
    for field in &fields {
        let Some(ident) = &field.ident else { continue };
        let (visible, of) = (&field.vis, &field.ty);
        let plain = ident.unraw().to_string();
        let constant: Ident = format_ident!("{}", plain.to_uppercase(), span = ident.span());
        let mut lines = documentation(&field.attrs);
        if lines.is_empty() {
            lines.push(format!("Field `{plain}`."));
        }
        let lines = lines.iter().map(|line| Literal::string(line));
        // Said of the field, so that the compiler points there if it is of a type that cannot be one.
        let there = typed(of.span());
        let (kind, value) = (
            quote_spanned!(of.span()=> #there::At<Self, #of>),
            quote_spanned!(of.span()=> #there::At::nth::<#number>(|object: &Self| &object.#ident)),
        );
        constants.push(quote! {
            #(#[doc = #lines])*
            #[allow(dead_code)]
            #visible const #constant: #kind = #value;
        });
        number = quote!(#face::layout::Next<#number>);
    }

    Ok(quote! {
        #[automatically_derived]
        impl #implemented #face::Object for #name #arguments #conditions {
            type Fields = #list;
        }

        #[automatically_derived]
        impl #implemented #name #arguments #conditions {
            #(#constants)*
        }

        const _: () = {
            // Two implementations, and so an error, exactly if the struct implements `Drop`.
            trait ObjectsAreNeverDropped {}
            #[allow(drop_bounds)]
            impl<T: ::core::ops::Drop + ?::core::marker::Sized> ObjectsAreNeverDropped for T {}
            #[automatically_derived]
            impl #implemented ObjectsAreNeverDropped for #name #arguments #conditions {}
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> String {
        let input: DeriveInput = syn::parse_str(source).expect("Rust");
        object(&input).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_no_struct_with_named_fields_and_without_lifetimes_is_refused_by_name() {
        assert!(refused("enum Shape { Round }").contains("`Shape` is no struct"));
        assert!(refused("union Bits { a: u8 }").contains("`Bits` is no struct"));
        assert!(refused("struct Pair(Link<Pair>);").contains("the fields of `Pair` need names"));
        assert!(refused("struct View<'a> { of: &'a u8 }").contains("`View` has the lifetime `'a`"));
    }

    #[test]
    fn each_field_is_named_by_a_constant_as_visible_and_as_documented() {
        let source = "struct Node { /** The rest. */ pub next: Link<Node>, r#type: Data<u8> }";
        let written = object(&syn::parse_str(source).expect("Rust")).expect("an object").to_string();
        assert!(written.contains("pub const NEXT") && written.contains("The rest."), "{written}");
        assert!(written.contains("const TYPE") && written.contains("Field `type`."), "{written}");
        assert!(!written.contains("pub const TYPE"), "{written}");
        assert!(!written.split_whitespace().any(|word| word == "unsafe"), "{written}");
    }
}
