package webui

import (
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// MustPages are the pages of a folder of embedded files by file name, each with layout.html around it and the parts (part_*.html)
// that several share; in all of them asset is the address of one of assets. It panics where one cannot be read.
func MustPages(files fs.FS, folder string, assets Assets) map[string]*template.Template {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		panic(err)
	}
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{"asset": assets.Path}).ParseFS(files, folder+"/layout.html", folder+"/part_*.html"))
	all := map[string]*template.Template{}
	for _, f := range entries {
		if path.Ext(f.Name()) != ".html" || f.Name() == "layout.html" || strings.HasPrefix(f.Name(), "part_") {
			continue
		}
		all[f.Name()] = template.Must(template.Must(layout.Clone()).ParseFS(files, folder+"/"+f.Name()))
	}
	return all
}
