package dialect

import "time"

// saySplit is the dialect of the fifth plant: Portuguese names, numbers with decimal comma and their unit in one text,
// date and time in two fields without a zone, records as numbers.
func saySplit(v *voice, f Fact) (string, any) {
	top := v.plant + "/planta/"
	about := func(o Of, kind string, more message) message {
		more["tipo"], more["registro"], more["lote"], more["material"] = kind, digits(o.Record), o.Lot, o.Material
		more["data"], more["hora"] = v.local(o.At, "2006-01-02"), v.local(o.At, "15:04:05.000")
		return more
	}
	switch f := f.(type) {
	case Made:
		return top + "mes/lote", about(f.Of, "criado", message{"quantidade": comma(f.Kilograms) + " kg", "ordem": f.Order, "maquina": f.Equipment})
	case Ran:
		kind := map[bool]string{false: "inicio", true: "fim"}[f.Ended]
		return top + "mes/corrida", about(f.Of, kind, message{"corrida": f.Run, "ordem": f.Order, "maquina": f.Equipment})
	case Planned:
		return top + "mes/inspecao", about(f.Of, "planejada", message{
			"inspecao": f.Inspection, "classe": f.Type, "revisao": f.SpecRev, "prazo": v.local(f.Due, "2006-01-02 15:04:05.000"),
		})
	case Completed:
		verdict := map[string]string{"pass": "aprovado", "fail": "reprovado"}[f.Verdict]
		return top + "mes/inspecao", about(f.Of, "concluida", message{
			"inspecao": f.Inspection, "classe": f.Type, "revisao": f.SpecRev, "resultado": verdict, "amostras": f.Results,
		})
	case Superseded:
		return top + "mes/inspecao", about(f.Of, "substituida", message{"inspecao": f.Inspection, "por": f.By, "motivo": f.Reason})
	case Measured:
		unit := map[string]string{"N.m": "Nm", "mm": "mm"}[f.Unit]
		if f.WrongUnit {
			unit = "palmo"
		}
		return top + "maquina/" + f.Equipment, about(f.Of, "medida", message{
			"versao": f.Rev, "inspecao": f.Inspection, "grandeza": f.Characteristic, "amostra": f.Sample, "valor": comma(f.Value) + " " + unit,
			"minimo": comma(f.LSL), "maximo": comma(f.USL), "seguranca": map[bool]string{true: "sim", false: "nao"}[f.Safety],
		})
	case Held:
		return top + "bloqueio", about(f.Of, "bloqueio", message{"id": f.Hold, "motivo": f.Reason, "por": f.By})
	case Lifted:
		return top + "mes/lote", about(f.Of, "desbloqueio", message{"id": f.Hold, "motivo": f.Reason, "por": f.By})
	case Sampled:
		return top + "sinal/" + f.Equipment, message{
			"grandeza": f.Tag, "valor": comma(f.Value) + " N", "data": v.local(f.At, "2006-01-02"), "hora": v.local(f.At, "15:04:05.000"),
		}
	}
	return "", nil
}

// Stamp drops what is finer than a dialect can say.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
