package dialect

// Topics are those on which a plant's systems publish, each to be read by a source of its own.
type Topics struct {
	Hold   string   // operators' holds
	MES    []string // all else of the MES
	result string   // in front of a machine's name
	signal string
	ending string // behind it, of results
	behind string // behind it, of signals
}

// Result returns the topic of a machine's measured values; the machine may be a wildcard.
func (t Topics) Result(machine string) string { return t.result + machine + t.ending }

// Signal returns the topic of a machine's sampled values.
func (t Topics) Signal(machine string) string { return t.signal + machine + t.behind }

// Topics returns the topics of the plant.
func (s *Site) Topics() Topics { return s.topics(s.Plant) }

func flatTopics(plant string) Topics {
	top := "acme/" + plant + "/"
	return Topics{
		Hold: top + "mes/hold", MES: []string{top + "mes/lot", top + "mes/run", top + "mes/inspection", top + "mes/lift"},
		result: top, ending: "/result", signal: top, behind: "/signal",
	}
}

func nestedTopics(plant string) Topics {
	top := plant + "/fertigung/"
	return Topics{
		Hold: top + "mes/sperre", MES: []string{top + "mes/los", top + "mes/lauf", top + "mes/pruefung", top + "mes/freigabe"},
		result: top, ending: "/messwert", signal: top, behind: "/signal",
	}
}

func codedTopics(plant string) Topics {
	top := "plants/" + plant + "/"
	return Topics{Hold: top + "hold", MES: []string{top + "mes"}, result: top + "qc/", signal: top + "tag/"}
}

func rowsTopics(plant string) Topics {
	top := "factory/" + plant + "/"
	return Topics{Hold: top + "stop", MES: []string{top + "mes/+"}, result: top + "cell/", signal: top + "tag/"}
}

func splitTopics(plant string) Topics {
	top := plant + "/planta/"
	return Topics{Hold: top + "bloqueio", MES: []string{top + "mes/+"}, result: top + "maquina/", signal: top + "sinal/"}
}
