package config

import "reflect"

// Path names a file or folder. [Load] makes it absolute, seen from the folder of the file that names it; a default is
// seen from the main file. Empty stays empty.
type Path string

// resolve makes the paths absolute that no file names, which are the defaults.
func (d *decoder) resolve(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.resolve(v.Elem())
		}
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			d.resolve(v.FieldByIndex(f.index))
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.resolve(v.Index(i))
		}
	case reflect.String:
		switch target := v.Addr().Interface().(type) {
		case *Path:
			*target = Path(join(d.dir, string(*target)))
		case *SecretFile:
			*target = d.secretFile(*target)
		}
	}
}
