package quotes

import (
	"net/http"

	"quittance.internal/libs/platform/webui"
)

// assets are the files that browsers get.
var assets = webui.MustAssets(pagesFS, "pages")

// showAsset answers with a file.
func (s *Service) showAsset(w http.ResponseWriter, c *call) error {
	if !assets.Show(w, c.Request, c.PathValue("name")) {
		return refuse(http.StatusNotFound, "not-found", "There is nothing at this address.")
	}
	return nil
}
