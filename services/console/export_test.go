package console

// Routes are the routes of the table, each as "GET /events/{id}".
func (s *Service) Routes() (list []string) {
	for _, r := range s.table() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}
