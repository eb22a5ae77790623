"""Outdoor topics: the agents, places, things and deeds of each, in the notation of topics_indoors.py."""

OUTDOORS = """
topic garden
agents person | gardener, florist, neighbor=person next door, landscaper
places | in the garden=in the yard, in the greenhouse, on the lawn=on the grass, in the park, behind the house
things plant plant plant | rose, tulip, bush=shrub, hedge, oak=oak tree, vine, weed, flower=blossom
things gardenware solid tool | shovel=spade, rake, hose, bucket=pail, wheelbarrow=cart
deeds plant | water, plant <> dig up=pull out, trim=prune=cut back, smell=sniff, photograph, measure
deeds gardenware | carry=haul, borrow <> lend, clean, drop <> pick up=lift, leave behind=forget

topic farm
agents worker | farmer=grower, shepherd, rancher=cowboy, beekeeper
places | on the farm=on the ranch, in the barn=in the stable, in the field=in the meadow, in the orchard, by the well
things livestock animal farm animal | cow, sheep=lamb, goat, pig=hog, horse=mare, chicken=hen, donkey=mule, duck
things crop food crop | apple, pear, corn~=maize~, wheat~=grain~, grape, melon, cherry, bean
deeds livestock | feed, wash=bathe, buy=purchase <> sell, lead=guide, tie up <> untie=release, brush=groom
deeds crop | grow, pick=gather, weigh, pack <> unpack, wash=rinse, sell=trade

topic animals
agents animal | dog=hound=puppy, cat=kitten, monkey=ape, bear, fox, wolf, rabbit=bunny, tiger, elephant, lion
places | in the zoo, in the forest=in the woods, in the jungle=in the rainforest, near the cave, behind the fence, in the desert
things prey animal creature | mouse=rat, bird, squirrel, snake, frog=toad, deer, butterfly=moth, turtle
things treat food snack | bone, nut=acorn, banana, fish, leaf
deeds prey | chase=pursue, catch=capture <> release=let go of, watch=observe, bite, frighten=scare, sniff at=smell, follow=trail
deeds treat | eat=devour, bury <> dig up, drop, find=discover, carry, chew
deeds - | sleep=doze=nap, run=sprint, jump=leap, swim=paddle, hide, bark=howl, climb, drink <> eat, rest=relax

topic sport
agents athlete | footballer=soccer player, runner=jogger, boxer=fighter, coach=trainer, swimmer, referee=umpire, skier, wrestler
places | in the stadium=in the arena, in the gym=in the sports hall, on the track, on the playground,
  at the tournament=at the championship, on the slope
things ball solid piece of equipment | ball, racket, helmet, glove, bat=club, net
things contest text competition | race, match=game, fight=bout, final, tournament=championship
deeds ball | throw=toss=hurl <> catch=grab, kick=boot, hold=grip, hit=strike, inflate <> deflate
deeds contest | win <> lose, watch=view, organize=arrange <> cancel=call off, stop=halt <> start=begin
deeds - | run=jog, exercise=work out=train, rest=relax, stretch, fall=tumble <> stand up=rise, ski, swim=do laps

topic street
agents person | driver, cyclist, mechanic=repairman, pedestrian=walker, taxi driver, commuter
places | on the street=on the road, at the crossing=at the intersection, on the highway=on the freeway, in the parking lot, on the bridge,
  in the tunnel
things vehicle solid vehicle | car=automobile, bicycle=bike, truck, bus=coach, motorcycle, taxi=cab, van, scooter
things sign solid sign | road sign=traffic sign, traffic light, billboard, barrier
deeds vehicle | drive=steer, park, repair=fix, wash=clean, stop=halt <> start, rent=hire, push <> pull=tow, crash=wreck
deeds sign | notice=see <> ignore=overlook, paint, knock down <> put up=erect, photograph

topic sea
agents person | sailor=seaman, fisherman, captain, diver, lifeguard, pirate
places | at the beach=on the shore, in the harbor=in the port, on the lake, on the river, on the island, on the deck,
  in the ocean=in the sea
things boat solid vessel | boat, ship, yacht=sailboat, canoe=kayak, raft, ferry
things catch animal sea creature | shark, fish, crab, whale, seal, octopus, lobster
deeds boat | row=paddle, sail, sink <> rescue=save, anchor, build=construct <> destroy=wreck, board <> abandon=leave
deeds catch | catch=hook <> release=set free, watch=observe, photograph, feed, sell, chase=pursue
deeds - | swim=bathe, dive=plunge, fish, drown, surf=ride the waves, float=drift <> sink

topic building
agents worker | builder=construction worker, carpenter, mason, architect, electrician, painter, welder
places | at the building site=at the construction site, on the roof=on the rooftop, on the scaffold, beside the wall,
  in the village=in the small town
things structure solid structure | house=home, tower, wall, fence, bridge, shed=hut, garage, chimney
things material solid item | hammer, brick, ladder, plank=board, drill, pipe=tube, saw, rope=cord
deeds structure | build=construct=erect <> demolish=tear down=destroy, design=plan, paint, measure, repair=mend
deeds material | lift=raise <> lower=put down, carry=haul, throw=toss, buy=purchase, cut=saw through, use

topic travel
agents traveler | pilot, tourist=visitor, passenger=rider, stewardess=flight attendant, guide, hiker
places | at the airport=in the terminal, at the train station=at the railway station, at the hotel=at the inn, on the mountain=on the peak,
  in the city=in the town, in the valley
things luggage solid piece of luggage | suitcase=case=trunk, backpack, tent, map=chart, ticket=pass, passport
things craft solid means of transport | plane=airplane=aircraft, train, helicopter=chopper, balloon, glider
deeds luggage | pack <> unpack=empty, lose=misplace <> find, carry, buy=purchase, forget=leave behind
deeds craft | board <> leave, photograph, watch=look at, wait for=await, miss <> catch, land, repair=fix

topic children
agents child | boy=lad, girl=schoolgirl, toddler=infant, teenager=adolescent=teen, twin
places | in the nursery=in the kindergarten, in the sandbox=in the sandpit, in the backyard, on the swing, in the tree house
things toy solid toy | doll=puppet, kite, teddy bear=stuffed bear, toy train=model train, balloon, spinning top, block
things sweet food treat=snack | cookie=biscuit, candy~=chocolate~, ice cream~=frozen yogurt~, lollipop, cake=cupcake
deeds toy | play with, break=smash <> fix=mend, share <> keep, throw=toss, hide, hold=clutch, lose <> find
deeds sweet | eat=gobble up, share=divide up, steal=snatch, drop <> pick up, beg for=ask for
deeds - | cry=weep=sob <> laugh=giggle, sleep=nap <> wake up, crawl, play, draw

topic science
agents scientist | researcher=investigator, astronomer, chemist, biologist, astronaut=spaceman, inventor
places | in the observatory, in the research center, on the moon, in the space station, at the volcano, in the museum
things apparatus solid apparatus | telescope, microscope, robot=android, rocket=spaceship, satellite, magnet, battery
things finding text idea | theory=hypothesis, discovery=finding, experiment=trial, result=outcome, lecture=talk
deeds apparatus | build=construct=assemble <> take apart=dismantle, test=try out, launch=send up, design=develop,
  turn on <> turn off=shut down
deeds finding | present=announce, prove=confirm <> challenge, publish, discuss=debate, doubt=question <> believe=trust

topic army
agents soldier | general=commander, knight, archer, guard, recruit, rebel
places | in the castle=in the fortress, on the battlefield, in the camp, at the border=at the frontier, in the palace, at the gate
things arm solid weapon | sword, shield, spear=lance, bow, cannon, rifle=gun, bomb=explosive
things land solid place | city=town, village=settlement, fort=stronghold, camp, bridge
deeds arm | raise=lift <> lower, clean, throw away=discard, steal, load <> unload, sharpen=grind
deeds land | attack=assault <> defend=protect, capture=conquer=seize <> lose, burn down=set fire to, visit, leave <> enter
deeds - | march=parade, surrender=give up <> fight=battle, retreat=withdraw <> advance, rest=relax, pray

topic people
agents person | man=guy=fellow, woman=lady, boy=lad, girl=schoolgirl, student=pupil, teacher=instructor, doctor=physician, nurse,
  policeman=cop, actor=performer, farmer, soldier, lawyer=attorney, tourist, boss=manager, waiter=server, queen,
  king=monarch
places | in the street=in the road, at the party=at the celebration, in the park, at the station, in the office,
  in the square=in the plaza, at the wedding=at the marriage ceremony, in the church=in the chapel
deeds person | help=assist <> hinder=obstruct, praise=compliment <> scold=criticize=blame, greet=welcome <> ignore, follow=go after,
  chase=pursue=run after, hug=embrace, push=shove <> pull, call=phone=ring up, teach=instruct, photograph,
  interview=question, warn=alert, thank, kiss, fight=battle, love=adore <> hate=detest, invite, watch=observe,
  defend=protect <> attack=assault, carry, wake up, tease=mock, trust <> suspect=distrust, rescue=save, pay
"""
