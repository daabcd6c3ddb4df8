"""Whether the active version makes progress: work that comes out useful, beside work that does not (docs/behaviour/judging.md).

known_work    what is known of each work bucket: limit of a wait, median, normal ends; from this version and from earlier ones
movement      the normal movement of each bucket; a bucket that moves has a queue and no hang
work_state    everything about work at one tick: the input of the two triggers
losses        attempts without use since the last useful answer
no_progress   trigger: nothing is useful
inference_probe  trigger: the inference probe fails
useful_share  trigger: much less is useful than normally
"""
