package allinone

// StopNATS takes the embedded NATS server down under the services, as a full disk would.
func (s *Service) StopNATS() { s.nats.Shutdown() }
