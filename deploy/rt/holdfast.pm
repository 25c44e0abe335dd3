# The lifecycles of nonconformances and inspections for Request Tracker 5. Copy this file into RT_SiteConfig.d, restart RT,
# then load holdfast.data. deploy/config/rt.yaml names the same states.
Set(%Lifecycles,
    nonconformance => {
        initial     => ['opened'],
        active      => [ 'contained', 'disposition' ],
        inactive    => [ 'closed', 'voided' ],
        defaults    => { on_create => 'opened' },
        rights      => { '* -> *' => 'ModifyTicket' },
        actions     => [],
        transitions => {
            ''          => ['opened'],
            opened      => [ 'contained', 'voided' ],
            contained   => ['disposition'],
            disposition => [ 'contained', 'closed' ],
            closed      => [],
            voided      => [],
        },
    },
    # An inspection is recorded once and never changed: a later one takes its place.
    inspection => {
        initial     => ['recorded'],
        active      => [],
        inactive    => ['superseded'],
        defaults    => { on_create => 'recorded' },
        rights      => { '* -> *' => 'ModifyTicket' },
        actions     => [],
        transitions => { '' => ['recorded'], recorded => ['superseded'], superseded => [] },
    },
);
1;
